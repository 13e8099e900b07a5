{{- /*
What a schema cannot say, or only by a pattern: each refusal names the value and what would be right.
*/}}
{{- define "chatbot-operator.checked" -}}
{{- $level := "(off|error|warn|info|debug|trace)" }}
{{- $filter := printf "([A-Za-z_][A-Za-z0-9_:]*=)?%s" $level }}
{{- if not (regexMatch (printf "^%s(,%s)*$" $filter $filter) .Values.log) }}
{{- fail (printf "log=%s: must be error, warn, info, debug, trace or off, also by module, such as chatbot_operator=debug,info" .Values.log) }}
{{- end }}
{{- range $use := list "requests" "limits" }}
{{- range $resource, $amount := index $.Values.resources $use }}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?(e[+-]?[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$" (toString $amount)) }}
{{- fail (printf "resources.%s.%s=%v: must be a quantity such as 500m, 2 or 256Mi" $use $resource $amount) }}
{{- end }}
{{- end }}
{{- end }}
{{- $limits := .Values.resources.limits | default dict }}
{{- range $resource, $request := .Values.resources.requests }}
{{- if hasKey $limits $resource }}
{{- $limit := get $limits $resource }}
{{- if gt (include "chatbot-operator.number" $request | float64) (include "chatbot-operator.number" $limit | float64) }}
{{- fail (printf "resources.requests.%s=%v: must be at most resources.limits.%s (%v)" $resource $request $resource $limit) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $index, $toleration := .Values.tolerations }}
{{- $exists := eq (.operator | default "Equal") "Exists" }}
{{- if and $exists .value }}
{{- fail (printf "tolerations[%d].value=%s: must not be set when operator is Exists" $index .value) }}
{{- end }}
{{- if not (or $exists .key) }}
{{- fail (printf "tolerations[%d].key must be set, or operator be Exists" $index) }}
{{- end }}
{{- if and (hasKey . "tolerationSeconds") (ne (.effect | default "") "NoExecute") }}
{{- fail (printf "tolerations[%d].tolerationSeconds=%v: must not be set unless effect is NoExecute" $index .tolerationSeconds) }}
{{- end }}
{{- end }}
{{- $name := "[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?" }}
{{- $label := "[a-z0-9]([a-z0-9-]*[a-z0-9])?" }}
{{- range $key, $value := .Values.nodeSelector }}
{{- if not (regexMatch (printf "^(%s([.]%s)*/)?%s$" $label $label $name) $key) }}
{{- fail (printf "nodeSelector: %q is no label's key: must be a name such as disktype or example.com/disktype" $key) }}
{{- end }}
{{- if not (regexMatch (printf "^(%s)?$" $name) $value) }}
{{- fail (printf "nodeSelector.%s=%q: must be a label's value: letters, digits, '-', '_' and '.', at most 63" $key $value) }}
{{- end }}
{{- end }}
{{- if .Values.priorityClasses.create }}
{{- $names := dict }}
{{- range $use := list "production" "training" "placeholders" }}
{{- $class := (index $.Values.priorityClasses $use).name }}
{{- if hasPrefix "system-" $class }}
{{- fail (printf "priorityClasses.%s.name=%s: must not start with system-: Kubernetes keeps those names for itself" $use $class) }}
{{- end }}
{{- if hasKey $names $class }}
{{- fail (printf "priorityClasses.%s.name=%s: must not be that of priorityClasses.%s: each use has a class of its own" $use $class (get $names $class)) }}
{{- end }}
{{- if $class }}
{{- $_ := set $names $class $use }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* A quantity as a number. */}}
{{- define "chatbot-operator.number" -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18
  "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 }}
{{- $unit := regexFind "[A-Za-z]+$" (toString .) }}
{{- mulf (toString . | trimSuffix $unit | float64) (get $units $unit) }}
{{- end }}
