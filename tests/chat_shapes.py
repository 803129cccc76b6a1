# SPDX-License-Identifier: Apache-2.0
"""Chat templates in the shapes that models' have, with sentences of our own, for referee_chat.py."""

GRANITE = r"""{%- set tools_system_message_prefix = 'There are tools:\n<tools>' %}
{%- set tools_system_message_suffix = '\n</tools>\nCall one like this: <tool_call>{"name": NAME, "arguments": {}}</tool_call>' %}
{%- set my_default_system_message = 'You\'re of help.' %}
{%- set ns = namespace(text='') %}
{%- if messages[0].role == 'system' %}
    {%- set ns.text = messages[0].content %}
{%- endif %}
{%- if tools %}
    {%- if messages[0].role == 'system' %}{% set ns.text = ns.text + '\n\n' %}{% endif %}
    {%- set ns.text = ns.text + tools_system_message_prefix %}
    {%- for tool in tools %}{% set ns.text = ns.text + '\n' + (tool | tojson) %}{% endfor %}
    {%- set ns.text = ns.text + tools_system_message_suffix %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' ~ (ns.text or my_default_system_message) ~ '<|end_of_text|>\n' }}
{%- for m in messages %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) %}
        {{- '<|start_of_role|>' ~ m.role ~ '<|end_of_role|>' ~ m.content ~ '<|end_of_text|>\n' }}
    {%- elif m.role == 'assistant' %}
        {{- '<|start_of_role|>' ~ m.role ~ '<|end_of_role|>' ~ m.content }}
        {%- for call in m.tool_calls or [] %}
            {%- if m.content or not loop.first %}{{- '\n' }}{% endif %}
            {{- '<tool_call>\n{"name": "' ~ call.function.name ~ '", "arguments": ' ~ call.function.arguments | tojson ~ '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|end_of_text|>\n' }}
    {%- elif m.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}
            {{- '<|start_of_role|>user<|end_of_role|>' }}
        {%- endif %}
        {{- '\n<tool_response>\n' ~ m.content ~ '\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}
            {{- '<|end_of_text|>\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{% endif %}
"""

NEMOTRON_V2 = r"""{%- set ns = namespace(thinks=true, text='') -%}
{%- for m in messages if m.role in ['user', 'system'] -%}
  {%- if '/think' in m.content %}{% set ns.thinks = true %}{% elif '/no_think' in m.content %}{% set ns.thinks = false %}{% endif -%}
{%- endfor -%}
{%- if messages[0].role == 'system' %}{% set ns.text = messages[0].content.replace('/think', '').replace('/no_think', '').strip() %}{% set messages = messages[1:] %}{% endif -%}
{{- '<SPECIAL_10>System
' + ns.text -}}
{%- if tools -%}
{%- if ns.text %}{{ '\n\n' }}{% endif -%}
{{- 'Tools that are there:\n<AVAILABLE_TOOLS>[' -}}
{%- for tool in tools %}{{ tool.function | tojson }}{{ ', ' if not loop.last else '' }}{% endfor -%}
{{- ']</AVAILABLE_TOOLS>\n\nCall them like this: <TOOLCALL>[]</TOOLCALL>' -}}
{%- endif -%}
{{- '\n\n' -}}
{%- for m in messages -%}
  {%- if m.role == 'user' -%}
    {{- '<SPECIAL_11>User\n' + m.content.replace('/think', '').replace('/no_think', '').strip() + '\n' -}}
  {%- elif m.role == 'tool' -%}
    {%- if loop.first or loop.previtem.role != 'tool' %}{{ '<SPECIAL_11>User\n<TOOL_RESPONSE>[' }}{% endif -%}
    {{- m.content -}}
    {%- if loop.last or loop.nextitem.role != 'tool' %}{{ ']</TOOL_RESPONSE>' }}{% else %}{{ ', ' }}{% endif -%}
  {%- elif m.role == 'assistant' -%}
    {%- set text = m.content.split('</think>')[1].strip() if '</think>' in m.content else m.content.strip() -%}
    {{- '<SPECIAL_11>Assistant\n' + text -}}
    {%- if m.tool_calls -%}
      {{- '\n' if text else '' }}{{ '<TOOLCALL>[' -}}
      {%- for call in m.tool_calls -%}
        {{- '{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson + '}' }}{{ ', ' if not loop.last else '' -}}
      {%- endfor -%}
      {{- ']</TOOLCALL>' -}}
    {%- endif -%}
    {{- '\n<SPECIAL_12>\n' -}}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- '<SPECIAL_11>Assistant\n' -}}
  {%- if ns.thinks %}{{ '<think>\n' }}{% else %}{{ '<think></think>' }}{% endif -%}
{%- endif -%}
"""

NEMOTRON_3 = r"""{%- macro more(object, known) %}
{%- if object is mapping %}{% for key in object if key not in known %}{{ '\n<' ~ key ~ '>' ~ ((object[key] | tojson) if object[key] is mapping or (object[key] is sequence and object[key] is not string) else (object[key] | string)) ~ '</' ~ key ~ '>' }}{% endfor %}{% endif %}
{%- endmacro %}
{%- set last = namespace(user=-1) %}
{%- set system = messages[0].content if messages[0].role == 'system' else '' %}
{%- set rest = messages[1:] if messages[0].role == 'system' else messages %}
{%- for m in rest %}{% if m.role == 'user' %}{% set last.user = loop.index0 %}{% endif %}{% endfor %}
{{- '<|im_start|>system\n' ~ system }}
{%- if tools %}
    {%- if system %}{{ '\n\n' }}{% endif %}
    {{- 'There are functions:\n<tools>' }}
    {%- for tool in tools %}
        {%- set f = tool.function %}
        {{- '\n<function>\n<name>' ~ f.name ~ '</name>\n<description>' ~ f.description | trim ~ '</description>\n<parameters>' }}
        {%- for name, p in f.parameters.properties | items %}
            {{- '\n<parameter>\n<name>' ~ name ~ '</name>' }}
            {%- if p.type is defined %}{{ '\n<type>' ~ p.type | string ~ '</type>' }}{% endif %}
            {%- if p.description is defined %}{{ '\n<description>' ~ p.description | trim ~ '</description>' }}{% endif %}
            {%- if p.enum is defined %}{{ '\n<enum>' ~ p.enum | tojson ~ '</enum>' }}{% endif %}
            {{- more(p, ['name', 'type', 'description', 'enum']) }}
            {{- '\n</parameter>' }}
        {%- endfor %}
        {{- more(f.parameters, ['type', 'properties', 'required']) }}
        {%- if f.parameters.required is defined %}{{ '\n<required>' ~ f.parameters.required | tojson ~ '</required>' }}{% endif %}
        {{- '\n</parameters>' }}
        {{- more(f, ['type', 'name', 'description', 'parameters']) }}
        {{- '\n</function>' }}
    {%- endfor %}
    {{- '\n</tools>\n\nCall them so:\n<tool_call>\n<function=NAME>\n</function>\n</tool_call>' }}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- for m in rest %}
    {%- if m.role == 'assistant' %}
        {%- if m.reasoning_content is defined and m.reasoning_content | trim %}
            {%- set text = '<think>\n' ~ m.reasoning_content ~ '\n</think>\n' ~ m.content %}
        {%- elif '<think>' in m.content or '</think>' in m.content %}
            {%- set text = m.content %}
        {%- else %}
            {%- set text = '<think></think>' ~ m.content %}
        {%- endif %}
        {%- if loop.index0 < last.user %}
            {%- if m.tool_calls %}
                {%- if '</think>' in text %}{% set text = text.split('</think>')[-1] %}{% elif '<think>' in text %}{% set text = text.split('<think>')[0] %}{% endif %}
                {%- set text = '<think></think>' ~ text | trim %}
            {%- elif '<think>' in text and '</think>' in text %}
                {%- set text = '<think></think>' ~ text.split('</think>')[-1] %}
            {%- endif %}
        {%- endif %}
        {{- '<|im_start|>assistant\n' ~ text | trim }}
        {%- if m.tool_calls %}{{ '\n' }}{% endif %}
        {%- for call in m.tool_calls or [] %}
            {{- '<tool_call>\n<function=' ~ call.function.name ~ '>\n' }}
            {%- for key, value in call.function.arguments | items %}
                {{- '<parameter=' ~ key ~ '>\n' ~ (value | tojson if value is mapping or (value is sequence and value is not string) else value | string) ~ '\n</parameter>\n' }}
            {%- endfor %}
            {{- '</function>\n</tool_call>\n' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif m.role == 'tool' %}
        {%- if loop.previtem and loop.previtem.role != 'tool' %}{{ '<|im_start|>user\n' }}{% endif %}
        {{- '<tool_response>\n' ~ m.content ~ '\n</tool_response>\n' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{ '<|im_end|>\n' }}{% endif %}
    {%- else %}
        {{- '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {%- if enable_thinking is not defined or enable_thinking %}
        {{- '<|im_start|>assistant\n<think>\n' }}
    {%- else %}
        {{- '<|im_start|>assistant\n<think></think>' }}
    {%- endif %}
{%- endif %}
"""

FALCON_H1 = r"""{{bos_token}}
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- "You've these tools:\n<tools>\n" }}
    {%- for tool in tools %}[{{- tool | tojson }}]{%- endfor %}
    {{- "\n</tools>\nCall one so:\n<tool_call>\n{}\n</tool_call>\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
    {%- endif %}
{%- endif %}{% for message in messages %}{%- if message.role != 'system' %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{%- endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

LFM2 = """{{- bos_token -}}
{%- set ns = namespace(text="") -%}
{%- if messages[0]["role"] == "system" -%}
    {%- set ns.text = messages[0]["content"] -%}
    {%- set messages = messages[1:] -%}
{%- endif -%}
{%- if tools -%}
    {%- set ns.text = ns.text + ("\\n" if ns.text else "") + "List of tools: BEGIN[" -%}
    {%- for tool in tools -%}
        {%- set ns.text = ns.text + (tool | tojson) + ("" if loop.last else ", ") -%}
    {%- endfor -%}
    {%- set ns.text = ns.text + "]END" -%}
{%- endif -%}
{%- if ns.text -%}{{- "<|im_start|>system\\n" + ns.text + "<|im_end|>\\n" -}}{%- endif -%}
ANSWERS
{%- if add_generation_prompt -%}{{- "<|im_start|>assistant\\n" -}}{%- endif -%}
"""

LFM2_ANSWERS = """{%- for m in messages -%}
    {{- "<|im_start|>" + m["role"] + "\\n" -}}
    {%- set text = m["content"] -%}
    {%- if m["role"] == "tool" -%}
        {%- set text = "<|tool_response_start|>" + text + "<|tool_response_end|>" -%}
    {%- endif -%}
    {{- text + "<|im_end|>\\n" -}}
{%- endfor -%}"""

LFM25_ANSWERS = """{%- set ns.last = -1 -%}
{%- for m in messages -%}
    {%- if m["role"] == "assistant" -%}{%- set ns.last = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for m in messages -%}
    {{- "<|im_start|>" + m["role"] + "\\n" -}}
    {%- set text = m["content"] -%}
    {%- if m["role"] == "assistant" and loop.index0 != ns.last and "</think>" in text -%}
        {%- set text = text.split("</think>")[-1] | trim -%}
    {%- endif -%}
    {{- text + "<|im_end|>\\n" -}}
{%- endfor -%}"""

LFM25_CALLS = """{%- macro calls(list) -%}
    {{- "<|tool_call_start|>[" -}}
    {%- for call in list -%}
        {{- call["function"]["name"] + "(" -}}
        {%- for key, value in call["function"]["arguments"].items() -%}
            {{- key + "=" -}}
            {%- if value is string -%}{{- "'" + value + "'" -}}
            {%- elif value is mapping -%}{{- value | tojson -}}
            {%- else -%}{{- value | string -}}
            {%- endif -%}
            {{- "" if loop.last else ", " -}}
        {%- endfor -%}
        {{- ")" + ("" if loop.last else ", ") -}}
    {%- endfor -%}
    {{- "]<|tool_call_end|>" -}}
{%- endmacro -%}
{%- set ns.user = -1 -%}
{%- for m in messages -%}
    {%- if m["role"] == "user" -%}{%- set ns.user = loop.index0 -%}{%- endif -%}
{%- endfor -%}
{%- for m in messages -%}
    {{- "<|im_start|>" + m.role + "\\n" -}}
    {%- if m.role == "assistant" -%}
        {%- generation -%}
        {%- if m.thinking is defined and loop.index0 > ns.user -%}
            {{- "<think>" + m.thinking + "</think>" -}}
        {%- endif -%}
        {%- set text = m.content -%}
        {%- if loop.index0 <= ns.user and "</think>" in text -%}
            {%- set text = text.split("</think>")[-1] | trim -%}
        {%- endif -%}
        {{- text -}}
        {%- if m.tool_calls is defined -%}{{- calls(m.tool_calls) -}}{%- endif -%}
        {{- "<|im_end|>\\n" -}}
        {%- endgeneration -%}
    {%- else -%}
        {{- m.content + "<|im_end|>\\n" -}}
    {%- endif -%}
{%- endfor -%}"""

CHATML_DATA = """{% for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

CHATML_DEFAULT = r"""{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You answer.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

# The line break behind the value stays: a blank line between turns.
CHATML_BLANK = r"""{{bos_token}}{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}
{% endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

CHATML_TOOLS = r"""{%- set text = messages[0].content if messages[0].role == 'system' else 'Be of help.' %}
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content }}
    {%- else %}
        {{- 'Be of help.' }}
    {%- endif %}
    {{- "\n\nTools:\n<tools>" }}
    {%- for tool in tools %}
        {{- "\n" ~ tool | tojson }}
    {%- endfor %}
    {{- "\n</tools>\nCalls: <tool_call>{}</tool_call><|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- else %}
    {{- '<|im_start|>system\nBe of help.<|im_end|>\n' }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'user' or (m.role == 'system' and not loop.first) or (m.role == 'assistant' and not m.tool_calls) %}
        {{- '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}
    {%- elif m.role == 'assistant' %}
        {{- '<|im_start|>' ~ m.role }}
        {%- if m.content %}{{- '\n' ~ m.content }}{%- endif %}
        {%- for call in m.tool_calls %}
            {{- '\n<tool_call>\n{"name": "' ~ call.function.name ~ '", "arguments": ' ~ call.function.arguments | tojson ~ '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif m.role == 'tool' %}
        {%- if loop.first or loop.previtem.role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' ~ m.content ~ '\n</tool_response>' }}
        {%- if loop.last or loop.nextitem.role != 'tool' %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""

LLAMA_3 = r"""{% for m in messages %}{% set content = '<|start_header_id|>' + m['role'] + '<|end_header_id|>

'+ m['content'] | trim + '<|eot_id|>' %}{% if loop.first %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>

' }}{% endif %}"""

LLAMA_3_RAW = LLAMA_3.replace(" | trim", "")

LLAMA_31 = r"""{{- bos_token }}
{%- set date_string = strftime_now("%d %b %Y") %}
{%- set text = "" %}
{%- if messages[0]['role'] == 'system' %}
    {%- set text = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\n\n" }}
{%- if tools %}{{- "Environment: ipython\n" }}{%- endif %}
{{- "Known until: 2020\n" }}
{{- "Today Date: " + date_string + "\n\n" }}
{{- text }}
{{- "<|eot_id|>" }}
{%- if tools %}
    {%- set first = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
    {{- '<|start_header_id|>user<|end_header_id|>\n\n' -}}
    {{- "There are functions. " }}
    {{- "Call one as JSON.\n\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\n\n" }}
    {%- endfor %}
    {{- first + "<|eot_id|>" }}
{%- endif %}
{%- for m in messages %}
    {%- if m.role == 'tool' %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\n\n" }}{{- m.content | tojson }}{{- "<|eot_id|>" }}
    {%- elif 'tool_calls' in m %}
        {%- if m.tool_calls | length != 1 %}{{- raise_exception("one call") }}{%- endif %}
        {%- set call = m.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\n\n{"name": "' + call.name + '", "parameters": ' }}{{- call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- else %}
        {{- '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n'+ m['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}
"""

# As models of version 1 had it.
MISTRAL_V1 = """{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('in turn') }}{% endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% else %}{{ raise_exception('no such role') }}{% endif %}{% endfor %}"""

# As models of version 3 with SentencePiece have it (SPACE " ", TRIM "|trim"), and of tekken.
MISTRAL_V3 = r"""{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS]SPACE[" }}
            {%- for tool in tools %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.function.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {{- "]" if loop.last else ", " }}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST]SPACE" + system_message + "\n\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST]SPACE" + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined %}
        {{- "[TOOL_CALLS]SPACE[" }}
        {%- for call in message.tool_calls %}
            {%- set out = call.function|tojson %}
            {{- out[:-1] }}
            {{- ', "id": "' + call.id + '"}' }}
            {{- "]" + eos_token if loop.last else ", " }}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- LEADmessage["content"]TRIM + eos_token}}
    {%- else %}
        {{- '[TOOL_RESULTS]SPACE{"content": ' + message.content|string + ", " }}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- endif %}
{%- endfor %}
"""

MISTRAL_V7 = r"""{%- set today = strftime_now("%Y-%m-%d") %}
{%- set default_system_message = "You answer. Today is " + today + "; you know \"old\" things." %}
{{- bos_token }}
{%- set loop_messages = messages[1:] if messages[0]['role'] == 'system' else messages %}
{%- set system_prompt = messages[0]['content'] if messages[0]['role'] == 'system' else default_system_message %}
{{- '[SYSTEM_PROMPT]' + system_prompt + '[/SYSTEM_PROMPT]' }}
{%- for message in loop_messages %}
    {%- if message['role'] == 'user' %}
        {{- '[INST]' + message['content'] + '[/INST]' }}
    {%- elif message['role'] == 'assistant' %}
        {{- message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}
"""


def _lfm2(begin, end, answers):
    text = LFM2.replace("BEGIN", begin).replace("]END", f"]{end}")
    return text.replace("ANSWERS", answers)


def _mistral_v3(space, lead, trim):
    text = MISTRAL_V3.replace("SPACE", space).replace("LEAD", lead)
    return text.replace("TRIM", trim)


SHAPES = {
    "like Granite 4": GRANITE,
    "like Granite 4 without a system text": GRANITE.replace(
        "(ns.text or my_default_system_message)", "ns.text").replace(
        "{{- '<|start_of_role|>system", "{%- if ns.text %}{{- '<|start_of_role|>system").replace(
        "ns.text ~ '<|end_of_text|>\\n' }}", "ns.text ~ '<|end_of_text|>\\n' }}{% endif %}").replace(
        "{%- set my_default_system_message = 'You\\'re of help.' %}\n", ""),
    "like Nemotron Nano v2": NEMOTRON_V2,
    "like Nemotron 3": NEMOTRON_3,
    "like Falcon-H1": FALCON_H1,
    "like LFM2": _lfm2("<|tool_list_start|>", "<|tool_list_end|>", LFM2_ANSWERS),
    "like LFM2.5": _lfm2("", "", LFM25_ANSWERS),
    "like LFM2.5 with calls": _lfm2("", "", LFM25_CALLS),
    "ChatML as text": CHATML_DATA,
    "ChatML with a system text": CHATML_DEFAULT,
    "ChatML with blank lines": CHATML_BLANK,
    "ChatML with tools": CHATML_TOOLS,
    "like Llama 3": LLAMA_3,
    "like Llama 3, texts as they are": LLAMA_3_RAW,
    "like Llama 3.1": LLAMA_31,
    "like Mistral v1": MISTRAL_V1,
    "like Mistral v3": _mistral_v3(" ", '" " + ', "|trim"),
    "like Mistral v3, texts as they are": _mistral_v3(" ", '" " + ', ""),
    "like Mistral v3 tekken": _mistral_v3("", "", ""),
    "like Mistral v7 tekken": MISTRAL_V7,
}
