{{/* Names are fixed: one Hearth in a cluster. A second release fails at the first ClusterRole, before two operators fight. */}}
{{- define "hearth.name" -}}hearth-operator{{- end -}}

{{- define "hearth.selector" -}}
app.kubernetes.io/name: hearth-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "hearth.labels" -}}
{{ include "hearth.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: hearth
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "hearth.operatorImage" -}}
{{ .Values.image.registry }}/{{ .Values.operator.image.repository }}:{{ .Values.operator.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* The part of a gateway's pod that values say something about. */}}
{{- define "hearth.gatewayPod" -}}
{{- with .Values.gateway -}}
{{ dict "resources" .resources "imagePullPolicy" .image.pullPolicy "imagePullSecrets" .image.pullSecrets "nodeSelector" .nodeSelector "tolerations" .tolerations "priorityClassName" .priorityClassName | toJson }}
{{- end -}}
{{- end }}

{{- define "hearth.gatewayImage" -}}
{{ .Values.image.registry }}/{{ .Values.gateway.image.repository }}:{{ .Values.gateway.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "hearth.check" -}}
{{- if not .Values.image.registry -}}
{{- fail "image.registry is not set: Hearth's images are in no public registry. Build them and push them to one that the cluster's nodes can pull from (make images && make push REGISTRY=registry.example.com/hearth), and add --set image.registry=registry.example.com/hearth" -}}
{{- end -}}
{{- if not (regexMatch "^(localhost|[a-z0-9_-]+:[0-9]+|[a-z0-9_-]+([.][a-z0-9_-]+)+(:[0-9]+)?)(/[a-z0-9][a-z0-9._-]*)*$" .Values.image.registry) -}}
{{- fail (printf "image.registry %q is not the name of a registry: write HOST[:PORT][/PATH] without a scheme and without a slash at the end, such as registry.example.com/hearth; a host without a dot or a port is a repository of Docker Hub" .Values.image.registry) -}}
{{- end -}}
{{- range list "app.kubernetes.io/name" "app.kubernetes.io/instance" -}}
{{- if hasKey $.Values.operator.podLabels . -}}
{{- fail (printf "operator.podLabels must not set %s: the Deployment knows its pods by it" .) -}}
{{- end -}}
{{- end -}}
{{- range .Values.operator.extraEnv -}}
{{- if has .name (list "POD_NAME" "POD_NAMESPACE") -}}
{{- fail (printf "operator.extraEnv must not set %s: it comes from the pod" .name) -}}
{{- end -}}
{{- end -}}
{{- if and (gt (int .Values.operator.replicas) 1) (not .Values.operator.leaderElect) -}}
{{- fail (printf "operator.replicas is %d, but only one may work at a time: set operator.leaderElect to true, or operator.replicas to 1" (int .Values.operator.replicas)) -}}
{{- end -}}
{{- if and .Values.networkPolicy.namespaces (not .Values.networkPolicy.enabled) -}}
{{- fail "networkPolicy.namespaces is set, but networkPolicy.enabled is false: set it to true, or remove the namespaces" -}}
{{- end -}}
{{- end -}}

{{/* Names, and the API server: the only things that operator and gateways need outside of their pods. */}}
{{- define "hearth.egress" -}}
- ports:
  - {port: 53, protocol: UDP}
  - {port: 53, protocol: TCP}
- ports:
  {{- range .Values.networkPolicy.apiServerPorts }}
  - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end -}}
