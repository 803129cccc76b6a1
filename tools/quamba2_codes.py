# SPDX-License-Identifier: Apache-2.0
"""How Quamba2's checkpoints order codes of 4 bits and their scales, for the sake of GPUs."""


def permutation(kind):
    """Where in a block of 16 columns and 64 rows, index 256 * (row / 16) + 16 * column + row % 16, the
    codes of a file belong, in the file's order."""
    order = []
    for i in range(32):
        columns = ((2 * (i % 4), 2 * (i % 4) + 1, 2 * (i % 4) + 8, 2 * (i % 4) + 9)
                   if kind == "W4A16" else range(4 * (i % 4), 4 * (i % 4) + 4))
        lane = [16 * c + i // 4 + 8 * block for block in (0, 1) for c in columns]
        order += [index + 256 * tile for tile in range(4) for index in lane]
    inside = (0, 2, 4, 6, 1, 3, 5, 7)
    return [order[8 * (i // 8) + inside[i % 8]] for i in range(1024)]


def unpack(np, words, kind):
    """Codes 0..15 of an int32 matrix (K / 16, 2 rows): (rows, K)."""
    steps, width = words.shape
    nibbles = (words.view(np.uint32)[..., None] >> (4 * np.arange(8, dtype=np.uint32))) & 15
    blocks = nibbles.reshape(steps, width // 128, 1024)
    codes = np.empty_like(blocks)
    codes[..., permutation(kind)] = blocks
    tiles = codes.reshape(steps, width // 128, 4, 16, 16)  # tile of rows, column, row
    return tiles.transpose(1, 2, 4, 0, 3).reshape(width // 2, 16 * steps).astype(np.int8)


def in_order(np, values, run):
    """The columns of scales, which the file has in another order inside of runs of 64 or 32."""
    order = ([i + 8 * j for i in range(8) for j in range(8)] if run == 64 else
             [2 * i + j for i in range(4) for j in (0, 1, 8, 9, 16, 17, 24, 25)])
    blocks = values.reshape(*values.shape[:-1], -1, run)
    sorted_ = np.empty_like(blocks)
    sorted_[..., order] = blocks
    return sorted_.reshape(values.shape)
