{{/* Name of every object of the release. */}}
{{- define "dataos.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which objects find each other; they never change. */}}
{{- define "dataos.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dataos.labels" -}}
{{ include "dataos.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "dataos.serviceAccount" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "dataos.name" . }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "dataos.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end -}}

{{/* Names under which the service is called inside the cluster, and those of the user. */}}
{{- define "dataos.hostNames" -}}
{{- $name := include "dataos.name" . -}}
{{- $space := .Release.Namespace -}}
{{- $own := list $name (printf "%s.%s" $name $space) (printf "%s.%s.svc" $name $space) (printf "%s.%s.svc.cluster.local" $name $space) -}}
{{- join "," (concat $own .Values.hostNames | uniq) -}}
{{- end -}}

{{/* Name of the secret with the URL of the metadata's database; empty if metadata is embedded. */}}
{{- define "dataos.metadataSecret" -}}
{{- if .Values.metadata.existingSecret -}}
{{ .Values.metadata.existingSecret }}
{{- else if .Values.metadata.url -}}
{{ include "dataos.name" . }}-metadata
{{- end -}}
{{- end -}}
