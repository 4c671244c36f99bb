// SPDX-License-Identifier: Apache-2.0
#include "core/text/chat/chat_jinja.h"

#include "absl/strings/str_replace.h"
#include "core/base/check.h"

namespace rwkvd {
namespace {

constexpr char kOfficial[] = R"jinja(
{%- set think = thinking | default(enable_thinking | default(false)) -%}
{%- set tools = tools | default([], true) -%}
{%- set ns = namespace(system='') -%}
{%- for m in messages if m.role == 'system' -%}
{%- set ns.system = m.content | trim -%}
{%- endfor -%}
{%- if ns.system or tools -%}
{{- 'System: ' ~ ns.system -}}
{%- if tools -%}
{{- '\nTools:\n' if ns.system else 'Tools:\n' -}}
{{- tools | tojson -}}
{{- '\n\nWhen using a tool, return only a compact JSON function call in a ```json block, like {"name":"calculator","arguments":{"expression":"2+2"}}. The `name` field must be top-level, never inside `arguments`. Do not copy the tool schema into arguments. Otherwise answer normally.' -}}
{%- endif -%}
{{- '\n\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}
{{- 'User: ' ~ (m.content | trim) ~ '\n\n' -}}
{%- elif m.role == 'tool' -%}
{{- 'User: Function output:\n' ~ (m.content | trim) ~ '\n\n' -}}
{%- elif m.role == 'assistant' -%}
{%- set content = m.content | default('', true) | trim -%}
{{- 'Assistant:' ~ (' ' ~ content if content else '') -}}
{%- for call in m.tool_calls | default([], true) -%}
{%- set f = call.function | default(call) -%}
{%- set args = f.arguments | default({}, true) -%}
{{- '\n' if content or not loop.first else '' -}}
{{- ' ```json\n{"name": ' ~ (f.name | default('') | tojson) ~ ', "arguments": ' -}}
{{- args if args is string else args | tojson -}}
{{- '}\n```' -}}
{%- endfor -%}
{{- '\n\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt | default(false) -%}
{{- 'Assistant: <think' if think else 'Assistant: <think></think>\n' -}}
{%- endif -%}
)jinja";

constexpr char kG1[] = R"jinja(
{%- macro clean(text) -%}
{{- (text | default('', true) | replace('\r\n', '\n')).split('\n') | select | join('\n') | trim -}}
{%- endmacro -%}
{%- set think = thinking | default(enable_thinking | default(none)) -%}
{%- set tools = tools | default([], true) -%}
{%- set ns = namespace(system='') -%}
{%- for m in messages if m.role == 'system' -%}
{%- set ns.system = clean(m.content) -%}
{%- endfor -%}
{%- if ns.system or tools -%}
{{- 'System: ' ~ ns.system -}}
{%- if tools -%}
{{- '\nTools:\n' if ns.system else 'Tools:\n' -}}
{{- tools | tojson -}}
{{- '\nWhen using a tool, return only a compact JSON function call in a ```json block, like {"name":"calculator","arguments":{"expression":"2+2"}}. The `name` field must be top-level, never inside `arguments`. Do not copy the tool schema into arguments. Otherwise answer normally.' -}}
{%- endif -%}
{{- '\n\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}
{{- 'User: ' ~ clean(m.content) ~ '\n\n' -}}
{%- elif m.role == 'tool' -%}
{{- 'User: Function output:\n' ~ clean(m.content) ~ '\n\n' -}}
{%- elif m.role == 'assistant' -%}
{%- set content = m.content | default('', true) | trim -%}
{{- 'Assistant:' ~ (' ' ~ content if content else '') -}}
{%- for call in m.tool_calls | default([], true) -%}
{%- set f = call.function | default(call) -%}
{%- set args = f.arguments | default({}, true) -%}
{{- '\n' if content or not loop.first else ' ' -}}
{{- '```json\n{"name":' ~ (f.name | default('') | tojson) ~ ',"arguments":' -}}
{{- args if args is string else args | tojson -}}
{{- '}\n```' -}}
{%- endfor -%}
{{- '\n\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt | default(false) -%}
{{- 'Assistant:' -}}
{%- if think is not none -%}
{{- ' <think' if think else ' <think>\n</think' -}}
{%- endif -%}
{%- endif -%}
)jinja";

constexpr char kWorld[] = R"jinja(
{%- set think = thinking | default(enable_thinking | default(none)) -%}
{%- set ns = namespace(system='') -%}
{%- for m in messages if m.role == 'system' -%}
{%- set ns.system = m.content -%}
{%- endfor -%}
{%- if ns.system -%}
{{- 'System: ' ~ ns.system ~ '\n\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}
{{- 'User: ' ~ (m.content | trim) ~ '\n\n' -}}
{%- elif m.role == 'assistant' -%}
{{- 'Assistant: ' ~ (m.content | default('', true)).split('</think>')[-1] | trim ~ '\n\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt | default(false) -%}
{{- 'Assistant:' -}}
{%- if think is not none -%}
{{- ' <think>' if think else ' <think>\n</think>' -}}
{%- endif -%}
{%- endif -%}
)jinja";

constexpr char kRaven[] = R"jinja(
{%- macro clean(text) -%}
{{- (text | default('', true) | replace('\r\n', '\n')).split('\n') | select | join('\n') | trim -}}
{%- endmacro -%}
{%- set ns = namespace(system='') -%}
{%- for m in messages if m.role == 'system' -%}
{%- set ns.system = clean(m.content) -%}
{%- endfor -%}
{%- if ns.system -%}
{{- ns.system ~ '\n\n' -}}
{%- endif -%}
{%- for m in messages -%}
{%- if m.role == 'user' -%}
{{- 'Bob: ' ~ clean(m.content) ~ '\n\n' -}}
{%- elif m.role == 'assistant' -%}
{%- set content = m.content | default('', true) | trim -%}
{{- 'Alice:' ~ (' ' ~ content if content else '') ~ '\n\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt | default(false) -%}
{{- 'Alice:' -}}
{%- endif -%}
)jinja";

}  // namespace

absl::string_view JinjaOf(const ChatTemplate& chat_template) {
  if (chat_template.name == "official") return kOfficial;
  if (chat_template.name == "g1") return kG1;
  if (chat_template.name == "world") return kWorld;
  RWKVD_CHECK(chat_template.name == "raven");
  return kRaven;
}

std::string WithoutGenerationTags(absl::string_view text) {
  // Comments remove the same white space.
  return absl::StrReplaceAll(
      text, {{"{%- generation -%}", "{#- generation -#}"},
             {"{%- generation %}", "{#- generation #}"},
             {"{% generation -%}", "{# generation -#}"},
             {"{% generation %}", "{# generation #}"},
             {"{%- endgeneration -%}", "{#- endgeneration -#}"},
             {"{%- endgeneration %}", "{#- endgeneration #}"},
             {"{% endgeneration -%}", "{# endgeneration -#}"},
             {"{% endgeneration %}", "{# endgeneration #}"}});
}

}  // namespace rwkvd
