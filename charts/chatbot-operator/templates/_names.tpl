{{- /* A release may have dots in its name, a Service may not. */}}
{{- define "chatbot-operator.name" -}}
{{- $release := .Release.Name | replace "." "-" }}
{{- if contains .Chart.Name $release }}{{ $release | trunc 50 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" $release .Chart.Name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "chatbot-operator.selector" -}}
app.kubernetes.io/name: chatbot-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "chatbot-operator.labels" -}}
{{ include "chatbot-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* The reference of an image: (dict "of" "operator" "root" $). A digest is taken before a tag. */}}
{{- define "chatbot-operator.image" -}}
{{- $image := index .root.Values.image .of }}
{{- $repository := required (printf "image.%s.repository must be set, such as registry.example.com/team/%s: `cargo e2e images` packs the image" .of .of) $image.repository }}
{{- if regexMatch "@|:[^/]*$" $repository }}
{{- fail (printf "image.%s.repository=%s: must have no tag and no digest; they are image.%s.tag and image.%s.digest" .of $repository .of .of) }}
{{- end }}
{{- $registry := "([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:]+\\])(:[0-9]+)?/" }}
{{- $part := "[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*" }}
{{- if not (regexMatch (printf "^(%s)?%s(/%s)*$" $registry $part $part) $repository) }}
{{- fail (printf "image.%s.repository=%s: must be a name such as registry.example.com/team/%s: behind the registry lower-case letters, digits, '.', '_', '-' and '/' alone" .of $repository .of) }}
{{- end }}
{{- if $image.digest }}{{ $repository }}@{{ $image.digest }}
{{- else }}{{ $repository }}:{{ $image.tag | default .root.Chart.AppVersion }}
{{- end }}
{{- end }}

{{- /* What every pod of the chart is held to: Pod Security `restricted`. */}}
{{- define "chatbot-operator.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "chatbot-operator.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
