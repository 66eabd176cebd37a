"""The kinds that the simulated Kubernetes API knows, and its discovery and OpenAPI documents."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    group: str
    version: str
    plural: str
    kind: str
    is_namespaced: bool = True
    short_names: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As error messages name it: `secrets`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_OLM = "operators.coreos.com"
_RBAC = "rbac.authorization.k8s.io"
_EVEREST = "everest.percona.com"

RESOURCES = (
    Resource("", "v1", "namespaces", "Namespace", False, ("ns",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "configmaps", "ConfigMap", True, ("cm",)),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", True, ("sa",)),
    Resource("", "v1", "resourcequotas", "ResourceQuota", True, ("quota",)),
    Resource("", "v1", "limitranges", "LimitRange", True, ("limits",)),
    Resource("", "v1", "events", "Event", True, ("ev",)),
    Resource("", "v1", "pods", "Pod", True, ("po",)),
    Resource("", "v1", "services", "Service", True, ("svc",)),
    Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", True, ("pvc",)),
    Resource("apps", "v1", "deployments", "Deployment", True, ("deploy",)),
    Resource("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",)),
    Resource("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",)),
    Resource("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",)),
    Resource("batch", "v1", "jobs", "Job"),
    Resource("batch", "v1", "cronjobs", "CronJob", True, ("cj",)),
    Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",)),
    Resource(_RBAC, "v1", "roles", "Role"),
    Resource(_RBAC, "v1", "rolebindings", "RoleBinding"),
    Resource(_RBAC, "v1", "clusterroles", "ClusterRole", False),
    Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Resource(_OLM, "v1", "operatorgroups", "OperatorGroup", True, ("og",)),
    Resource(_OLM, "v1alpha1", "subscriptions", "Subscription", True, ("sub", "subs")),
    Resource(_OLM, "v1alpha1", "installplans", "InstallPlan", True, ("ip",)),
    Resource(_OLM, "v1alpha1", "clusterserviceversions", "ClusterServiceVersion", True, ("csv",)),
    Resource(_EVEREST, "v1alpha1", "databaseclusters", "DatabaseCluster", True, ("db", "dbc")),
    Resource(_EVEREST, "v1alpha1", "databaseclusterbackups", "DatabaseClusterBackup", True, ("dbb",)),
    Resource(_EVEREST, "v1alpha1", "databaseclusterrestores", "DatabaseClusterRestore", True, ("dbr",)),
    Resource(_EVEREST, "v1alpha1", "databaseengines", "DatabaseEngine", True, ("dbe",)),
    Resource(_EVEREST, "v1alpha1", "backupstorages", "BackupStorage"),
    Resource(_EVEREST, "v1alpha1", "monitoringconfigs", "MonitoringConfig"),
    Resource(_EVEREST, "v1alpha1", "dataimportjobs", "DataImportJob", True, ("dij",)),
    Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
    Resource("authorization.k8s.io", "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False),
    Resource("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False, ("crd",)),
    Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False),
)

BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in RESOURCES}
BY_QUALIFIED = {resource.qualified: resource for resource in RESOURCES}
BY_KIND = {(resource.api_version, resource.kind): resource for resource in RESOURCES}


def resource(plural: str, group: str = "", version: str = "v1") -> Resource:
    return BY_PATH[group, version, plural]
