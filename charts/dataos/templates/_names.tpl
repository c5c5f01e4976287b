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

{{/* The roles that are pods of their own, as a comma-separated list; empty if there are none. */}}
{{- define "dataos.roles" -}}
{{- $roles := list -}}
{{- range $role := list "query" "catalog" "orchestrator" -}}
{{- if (index $.Values.roles $role).enabled -}}
{{- $roles = append $roles $role -}}
{{- end -}}
{{- end -}}
{{- join "," $roles -}}
{{- end -}}

{{/* Name of the objects of a role: (list context role). */}}
{{- define "dataos.roleName" -}}
{{- printf "%s-%s" (include "dataos.name" (index . 0) | trunc 49 | trimSuffix "-") (index . 1) -}}
{{- end -}}

{{/* Labels by which objects of a role find each other. They are not those of the gateway, whose service must not find them. */}}
{{- define "dataos.roleSelector" -}}
app.kubernetes.io/name: {{ printf "%s-%s" (index . 0).Chart.Name (index . 1) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end -}}

{{- define "dataos.roleLabels" -}}
{{- $context := index . 0 -}}
{{ include "dataos.roleSelector" . }}
app.kubernetes.io/part-of: {{ $context.Chart.Name }}
app.kubernetes.io/version: {{ $context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $context.Chart.Name $context.Chart.Version }}
{{- end -}}

{{/* The secret with the identity of a role, which a platform of several pods needs. */}}
{{- define "dataos.identity" -}}
{{- $role := index . 1 -}}
{{- required (printf "roles.identities.%s names a secret with the certificate of that role" $role) (index (index . 0).Values.roles.identities $role) -}}
{{- end -}}
