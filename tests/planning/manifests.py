"""The manifests whose plans are kept under golden/."""

from __future__ import annotations

RUNTIME = """
apiVersion: serving.hearth.dev/v1alpha1
kind: InferenceRuntime
metadata: {name: vllm-acme}
spec:
  family: vllm
  vendor: acme
  container:
    image: vllm/vllm-openai:v0.25.1
    args:
    - "{{ .Model.Path }}"
    - --served-model-name={{ .Service.Name }}
    - --tensor-parallel-size={{ .Service.Accelerators }}
    - --shutdown-timeout={{ .Service.DrainTimeoutSeconds }}
    env:
    - {name: VLLM_NO_USAGE_STATS, value: "1"}
    - {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: hf, key: token, optional: true}}}
  accelerator:
    resourceName: acme.dev/chip
    nodeSelector: {acme.dev/product: big}
    tolerations:
    - {key: acme.dev/chip, operator: Exists, effect: NoSchedule}
    scheduler: {name: volcano, queue: llm}
  health:
    liveness: {httpGet: {path: /health, port: http}, periodSeconds: 30, failureThreshold: 6}
  lifecycle: {preStopDrain: true}
  metrics: {queueDepth: "vllm:num_requests_waiting"}
"""

SERVICES = {
    "smallest": """
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {name: tiny}
spec:
  model: {source: {uri: hf://acme/tiny}}
""",
    "everything": """
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {name: qwen3-8b, namespace: ai, uid: 0f0e0d0c-0000-4000-8000-000000000000}
spec:
  model: {source: {uri: modelscope://Qwen/Qwen3-8B-Instruct}}
  runtime:
    selector: {vendor: [nvidia, acme]}
    argsOverride: [--max-model-len=8192]
  resources: {accelerators: 2, cpu: "4", memory: 24Gi}
  scaling: {min: 0, max: 3, target: 10, activationTimeout: 8m, scaleDownStabilization: 2m, drainTimeout: 1m}
  cache: {strategy: NodeLocalPVC, size: 100Gi, storageClassName: local-path, prewarm: true}
  endpoint:
    coldStart: {mode: keepalive, heartbeatInterval: 5s}
    aliases: [qwen]
    limits: {maxHeld: 20}
  imagePullSecrets: [{name: registry}]
""",
    "weights-on-a-volume": """
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {name: finetune, namespace: ai}
spec:
  model: {source: {uri: "pvc://weights/finetune/v2"}}
  runtime: {name: vllm-acme}
  scaling: {min: 1, max: 1}
  endpoint: {coldStart: {mode: reject}}
""",
}

NAMESPACE = f"""
{RUNTIME}
---
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {{name: plain, namespace: ai}}
spec:
  model: {{source: {{uri: hf://acme/plain}}}}
  endpoint: {{aliases: [small]}}
---
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {{name: a-name-as-long-as-the-names-of-kubernetes-service-allow, namespace: ai}}
spec:
  model: {{source: {{uri: hf://acme/other}}}}
  scaling: {{max: 4, scaleDownStabilization: 30s}}
  cache: {{strategy: HostPath, prewarm: true}}
  imagePullSecrets: [{{name: registry}}]
---
apiVersion: serving.hearth.dev/v1alpha1
kind: LLMService
metadata: {{name: apart, namespace: ai, uid: 0f0e0d0c-0000-4000-8000-000000000000}}
spec:
  model: {{source: {{uri: pvc://weights}}}}
  scaling: {{min: 1, max: 2}}
  endpoint: {{gateway: dedicated}}
  imagePullSecrets: [{{name: registry}}]
"""
"""Services that share a gateway, and one that has its own."""

CASES = [
    (name, target)
    for name in SERVICES
    for target in ("cluster", "local")
    if "pvc://" not in SERVICES[name] or target == "cluster"
]
