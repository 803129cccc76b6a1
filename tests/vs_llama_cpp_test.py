#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/vs_llama_cpp.py and first_token.py compare, with a llama.cpp that only pretends.

  python3 tests/vs_llama_cpp_test.py BIN

BIN is the folder of the programs. The package llama_cpp is replaced by one that reads tokens in
2 ms each, so that what is tested is the script: its options, what it refuses, what it calculates,
and that nothing is left when it fails or is interrupted. Exits 0 if all is well, 1 if not.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import types

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "bench/vs_llama_cpp.py"
FIRST_TOKEN = ROOT / "bench/first_token.py"
sys.dont_write_bytecode = True
sys.path.insert(0, str(ROOT / "bench"))
import compared_models  # noqa: E402

# The part of llama_cpp's API that is used. MODE makes it fail, or be slow.
PRETENDED = '''
import ctypes, os, sys, time, types
MODE = os.environ["MODE"]
__version__ = "0.0.1"
llama_cpp = sys.modules[__name__]
llama_token = ctypes.c_int32
llama_log_callback = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
LLAMA_LOAD_MODE_NONE = 0
options = types.SimpleNamespace(load_mode=-1)

def llama_log_set(callback, data):
    llama_cpp.log = callback

def llama_model_default_params():
    return options

def llama_model_load_from_file(path, given):
    assert given.load_mode == (0 if MODE == "no-mmap" else -1)
    if MODE in ("unknown", "broken"):
        log(4, b"error loading model: " + {"unknown": b"unknown model architecture: 'mamba2'",
                                           "broken": b"tensor is missing"}[MODE] + b"\\n", None)
        return None
    if MODE == "killed":
        os.kill(os.getpid(), 9)
    return path

if MODE == "old":
    del llama_model_load_from_file

def llama_context_default_params():
    return types.SimpleNamespace()

def llama_init_from_model(model, given):
    assert given.n_threads == given.n_threads_batch
    assert given.n_threads == (2 if MODE == "no-mmap" and b"tales" in model else 1)
    assert given.n_batch == given.n_ubatch
    assert hasattr(given, "flash_attn_type") == (b"granite" in model)
    llama_cpp.flash = getattr(given, "flash_attn_type", 0)
    llama_cpp.room = given.n_ctx
    return 2

def llama_model_quantize_default_params():
    return types.SimpleNamespace()

LLAMA_FTYPE_MOSTLY_Q4_K_M = 15

def llama_model_quantize(path, out, given):
    assert given.ftype == 15
    if MODE != "works":
        return 1
    import shutil
    shutil.copy(path, out)
    return 0

def llama_model_get_vocab(model):
    return 3

def llama_vocab_n_tokens(vocab):
    return 8192

def llama_batch_get_one(ids, count):
    assert 0 < count <= len(ids) and all(0 <= id < 8192 for id in ids)
    return count

def llama_decode(context, count):
    llama_cpp.room -= count
    assert llama_cpp.room >= 0
    time.sleep(60 if MODE == "slow" else 0.002 * count * (1 + 4 * llama_cpp.flash))
    return 1 if MODE == "undecided" else 0

def llama_synchronize(context):
    pass

def llama_get_memory(context):
    return 4

def llama_memory_clear(memory, data):
    llama_cpp.room = 1 << 30

def llama_print_system_info():
    return b"CPU : NONE = 1 | "
'''


class Test:
    def __init__(self, bin_folder, folder):
        self.bin, self.folder, self.checks = bin_folder, folder, 0
        (folder / "package").mkdir()
        (folder / "package/llama_cpp.py").write_text(PRETENDED)
        (folder / "tmp").mkdir()  # where temporary files would be left

    def environment(self, mode):
        package = {"PYTHONPATH": str(self.folder / "package")} if mode else {}
        return {**os.environ, "MODE": mode, "TMPDIR": str(self.folder / "tmp"),
                "PYTHONDONTWRITEBYTECODE": "1", **package}

    def expect(self, status, said, *arguments, mode="works", script=SCRIPT):
        """Runs the script, which must end with this status and say this; returns what it prints."""
        # -S: without the packages of this machine.
        done = subprocess.run([sys.executable, "-S", script, *arguments], capture_output=True,
                              text=True, env=self.environment(mode), cwd=self.folder)
        text = done.stderr if status else done.stdout
        assert done.returncode == status and said in text, (arguments, mode, done)
        assert "Traceback" not in done.stderr, done.stderr
        assert not any((self.folder / "tmp").iterdir()), "temporary files are left"
        self.checks += 1
        return done.stdout

    def usage(self):
        self.expect(0, "Exit status", "--help")
        for said, *arguments in [
                ("--model --random is required",),
                ("not allowed with", "--model", "x.gguf", "--random", "mamba2-130m"),
                ("invalid choice", "--random", "mamba2-3t"),
                ("must be of f32,f16,bf16,q8_0,q4_0,q4_k_m, found 'q3_k'", "--types", "f16,q3_k"),
                ("must be a whole number in 1..1048576, found '0'", "--threads", "1,0"),
                ("must be a whole number in 1..1048576, found ''", "--threads", "1,"),
                ("must be a whole number in 1..1048576, found '-2'", "--repeat", "-2"),
                ("must be a whole number in 3..1048576, found '2'", "--decode", "2"),
                ("must be a whole number in 1..1048576, found 'x'", "--prefill", "x"),
                ("found 'plot.gif'", "--plot", "plot.gif"),
                ("unrecognized arguments: --quick", "--quick")]:
            if arguments and arguments[0] not in ("--model", "--random"):
                arguments = ["--random", "mamba2-130m", *arguments]
            self.expect(2, said, *arguments)

    def refusals(self, model):
        random = "--random", "mamba2-130m"
        self.expect(1, "llama-cpp-python is missing: pip install llama-cpp-python", *random,
                    mode="")
        self.expect(1, "matplotlib is missing: pip install matplotlib", *random, "--plot", "x.svg")
        self.expect(1, "mamba2-bench: no such program; tools/test.sh builds it", self.folder,
                    *random)
        self.expect(1, "no.gguf: no such file", self.bin, "--model", "no.gguf")
        self.expect(1, "x.json: cannot be written", self.bin, *random, "--json", "no/x.json")
        self.expect(1, "cannot be made", self.bin, *random, "--work", "package/llama_cpp.py/x")
        self.expect(1, "a GGUF file", self.bin, "--model", "package/llama_cpp.py")
        for mode, said in (("old", "0.0.1 is too old"), ("unknown", "0.0.1 is too old"),
                           ("broken", "cannot run it: error loading model: tensor is missing"),
                           ("killed", "ended by signal 9, probably for want of memory"),
                           ("undecided", "llama.cpp cannot decode")):
            self.expect(1, said, self.bin, "--model", model, mode=mode)
        self.expect(1, "must be a whole number in 0..1024, found", self.bin, "--model", model,
                    "--threads", "5000")
        self.expect(1, "x1 not in ", self.bin, "--model", model, "--weights", "x1")

    def resources(self):
        args = types.SimpleNamespace(random="mamba2-130m", types=["q8_0", "q4_0"])
        compared_models.shutil = types.SimpleNamespace(
            disk_usage=lambda _: types.SimpleNamespace(free=150e6))
        for said, function, arguments in (
                ("needs 224 MB of disk, 150 MB are free", compared_models.write_random,
                 (args, self.folder, self.folder)),
                ("needs 1100200 MB of memory, ", compared_models.check_memory, (1e12,))):
            try:
                function(*arguments)
                assert False, said
            except SystemExit as refused:
                assert said in refused.code, refused.code
            self.checks += 1

    def comparison(self, model):
        out = self.folder / "out.json"
        quick = ("--model", model, "--repeat", "2", "--decode", "6", "--prefill", "16")
        text = self.expect(0, "tales-q8_0, 1 thread ", self.bin, *quick, "--threads", "1,1",
                           "--json", out)
        assert text.count("memory, MB") == 2 and "llama.cpp: CPU : NONE = 1" in text, text
        found = json.loads(out.read_text(encoding="utf-8"))
        assert found["llama.cpp"]["llama-cpp-python"] == "0.0.1", found
        assert [row["threads"] for row in found["rows"]] == [1, 1], found
        row = found["rows"][0]
        assert (row["type"], row["weights"], len(row["runs"])) == ("q8_0", "mixed", 2), row
        ours, theirs = row["mamba2"], row["llama.cpp"]
        for key in ("decode_tokens_per_s", "prefill_tokens_per_s", "load_s", "peak_bytes"):
            assert ours[key] > 0, row
        # No faster than pretended.
        assert 0 < theirs["decode_tokens_per_s"] < 500 > theirs["prefill_tokens_per_s"] > 0, row
        # Q8_0 takes 34 bytes for 32 weights; the rest is F32. The state is read and written.
        large = (8192 + 12 * (1676 + 768)) * 384
        expected = large // 32 * 34 + (14476080 - large) * 4 + 2 * (2489856 - 4 * 384)
        assert row["bytes_per_token"] == expected, (row, expected)
        self.same(row["ceiling"] * theirs["decode_tokens_per_s"] * expected,
                  row["roof_gb_per_s"] * 1e9)
        self.same(row["share"] * row["ceiling"], row["ratio"]["decode_tokens_per_s"])
        self.same(row["ratio"]["load_s"] * theirs["load_s"], ours["load_s"])
        self.expect(0, "mamba2 fp32", self.bin, *quick, "--threads", "2", "--no-mmap", "--weights",
                    "fp32", mode="no-mmap")

    def hybrid(self):
        """Of two ways to compute attention the better counts; keys and values are read, too."""
        model = self.folder / "granite.gguf"
        shutil.copy(ROOT / "tests/golden/hybrids_gguf/granite-q8_0/model.gguf", model)
        out, quick = self.folder / "hybrid.json", ("--repeat", "1", "--decode", "6", "--prefill", "8")
        rows = []
        for context in ("0", "20"):
            self.expect(0, "granite, 1 thread", self.bin, "--model", model, *quick, "--threads", "1",
                        "--context", context, "--json", out)
            rows.append(json.loads(out.read_text(encoding="utf-8"))["rows"][0])
        for row in rows:
            assert 100 < row["llama.cpp"]["decode_tokens_per_s"] < 500, row
        inspected = self.folder / "inspect.json"
        subprocess.run([self.bin / "mamba2-inspect", model, "--json", inspected], check=True,
                       stdout=subprocess.DEVNULL)
        config = json.loads(inspected.read_text(encoding="utf-8"))["config"]
        attention = config["pattern"].count("*")
        token = 4 * attention * config["attention.num_heads_kv"] * config["attention.head_dim"]
        assert rows[1]["bytes_per_token"] - rows[0]["bytes_per_token"] == 20 * token > 0, rows
        self.checks += 1

    def quantized(self):
        args = types.SimpleNamespace(random="tiny", types=["q8_0", "q4_k_m"],
                                     bin=self.bin)
        calls = []

        def run(*command):
            calls.append(command[-1])
            out = [part for part in command if str(part).endswith(".gguf")][-1]
            out.write_bytes(b"x")

        compared_models.SHAPES["tiny"], compared_models.run = 1e3, run
        work = self.folder / "work"
        work.mkdir()
        files = compared_models.write_random(args, work, work)
        assert calls == ["q8_0", "f16", "q4_k_m"], calls
        assert sorted(work.iterdir()) == sorted(files), list(work.iterdir())
        self.checks += 1

    def first_token(self, model):
        def expect(status, said, *arguments, mode="works"):
            return self.expect(status, said, *arguments, mode=mode, script=FIRST_TOKEN)

        quick = self.bin, "--model", model, "--threads", "1", "--repeat", "2"
        out = self.folder / "first.json"
        text = expect(0, "| tales-q8_0 | int8 | cold | ", *quick, "--weights", "mixed,int8",
                      "--json", out)
        assert text.count("| tales-q8_0 | ") == 4, text
        rows = json.loads(out.read_text(encoding="utf-8"))
        assert [row["pages"] for row in rows] == ["warm", "cold"] * 2, rows
        for row in rows:
            assert 0 < row["kept"] and 0 < row["mamba2"] and row["llama.cpp"] >= 0.002, row
        expect(0, "Exit status", "--help")
        expect(2, "must be of mixed,int8,", *quick, "--weights", "int3")
        expect(1, "llama-cpp-python is missing: pip install llama-cpp-python", *quick, mode="")
        expect(1, "first_token.py: no.gguf: no such file", self.bin, "--model", "no.gguf")
        expect(1, "x.json: cannot be written", *quick, "--json", "no/x.json")
        expect(1, "cannot run it: error loading model: tensor is missing", *quick, mode="broken")

    def same(self, found, expected):
        assert abs(found / expected - 1) < 1e-9, (found, expected)
        self.checks += 1

    def read(self, path):
        try:
            return path.read_bytes()
        except OSError:  # a process that has ended meanwhile
            return b""

    def interruption(self, model):
        for number in (signal.SIGINT, signal.SIGTERM):
            command = [sys.executable, "-S", SCRIPT, self.bin, "--model", model, "--json",
                       self.folder / "never.json"]
            with subprocess.Popen(command, env=self.environment("slow"), stderr=subprocess.PIPE,
                                  text=True) as child:
                # What is killed in its first moments has nothing to clean up yet.
                while not any((self.folder / "tmp").glob("*/small.gguf")):
                    assert child.poll() is None, child.stderr.read()
                    time.sleep(0.01)
                child.send_signal(number)
                error = child.communicate()[1]
            assert child.returncode == 128 + number and not error, (child.returncode, error)
            assert not any((self.folder / "tmp").iterdir()), "temporary files are left"
            left = [path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
                    if str(self.folder).encode() in self.read(path)]
            assert not left, "a process is left"
            self.checks += 1
        assert not list(self.folder.glob("never*")), "results of an interrupted run"


def main():
    bin_folder = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        test = Test(bin_folder, folder)
        model = folder / "tales-q8_0.gguf"
        subprocess.run([bin_folder / "mamba2-convert", ROOT / "examples/models/llama-tales-14m",
                        model, "--type", "q8_0"], check=True, stdout=subprocess.DEVNULL)
        test.usage()
        test.refusals(model)
        test.quantized()
        test.resources()
        test.comparison(model)
        test.hybrid()
        test.first_token(model)
        test.interruption(model)
        print(f"{test.checks} checks passed")


if __name__ == "__main__":
    main()
