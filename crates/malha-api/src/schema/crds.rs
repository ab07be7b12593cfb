//! The `CustomResourceDefinition` objects of Istio's kinds, as a cluster with Istio has them. Names, versions and columns are
//! those of Istio's CRDs (`manifests/charts/base/files/crd-all.gen.yaml`); schemas are malha's.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceConversion, CustomResourceDefinition,
    CustomResourceDefinitionCondition, CustomResourceDefinitionNames, CustomResourceDefinitionSpec,
    CustomResourceDefinitionStatus, CustomResourceDefinitionVersion, CustomResourceSubresourceStatus,
    CustomResourceSubresources, CustomResourceValidation, JSONSchemaProps,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_cluster::Kind;
use malha_cluster::resource::{RESOURCES, Resource};
use serde_json::{Value, json};

use super::istio;

/// A column that `kubectl get` shows of a custom resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrinterColumn {
    /// Its heading.
    pub name: &'static str,
    /// `string` or `date`.
    pub kind: &'static str,
    /// Where its cells come from.
    pub json_path: &'static str,
    /// What it shows.
    pub description: &'static str,
}

const AGE: PrinterColumn = PrinterColumn {
    name: "Age",
    kind: "date",
    json_path: ".metadata.creationTimestamp",
    description: "Time since the object was created.",
};

const fn text(name: &'static str, json_path: &'static str, description: &'static str) -> PrinterColumn {
    PrinterColumn { name, kind: "string", json_path, description }
}

/// The columns that a kind's CRD names; without any, a table has the age alone.
const COLUMNS: &[(Kind, &[PrinterColumn])] = &[
    (Kind::DestinationRule, &[text("Host", ".spec.host", "The service that the rule is for."), AGE]),
    (
        Kind::ServiceEntry,
        &[
            text("Hosts", ".spec.hosts", "The names of the service."),
            text("Location", ".spec.location", "Whether its endpoints are part of the mesh."),
            text("Resolution", ".spec.resolution", "Where the addresses of its endpoints come from."),
            AGE,
        ],
    ),
    (
        Kind::VirtualService,
        &[
            text("Gateways", ".spec.gateways", "The gateways that the rules are for."),
            text("Hosts", ".spec.hosts", "The hosts that the rules are for."),
            AGE,
        ],
    ),
    (Kind::AuthorizationPolicy, &[text("Action", ".spec.action", "What becomes of requests that match."), AGE]),
    (Kind::PeerAuthentication, &[text("Mode", ".spec.mtls.mode", "Whether pods take plaintext."), AGE]),
];

/// The columns after the name in a table of a kind.
pub(crate) fn columns(kind: Kind) -> &'static [PrinterColumn] {
    named_columns(kind).unwrap_or(&[AGE])
}

fn named_columns(kind: Kind) -> Option<&'static [PrinterColumn]> {
    COLUMNS.iter().find(|(of, _)| *of == kind).map(|(_, columns)| *columns)
}

/// The definitions of all of Istio's kinds. Their `status` says that they are served, since they are.
pub fn istio_crds() -> Vec<CustomResourceDefinition> {
    RESOURCES.iter().filter_map(definition).collect()
}

fn definition(resource: &Resource) -> Option<CustomResourceDefinition> {
    let spec = istio::spec(resource.kind)?;
    let mut schema = json!({
        "type": "object",
        "properties": {"spec": spec, "status": istio::status()},
    });
    if istio::needs_spec(resource.kind) {
        schema["required"] = json!(["spec"]);
    }
    let names = names(resource);
    let preferred = resource.versions.first().copied().unwrap_or_default();
    let metadata = ObjectMeta {
        name: Some(format!("{}.{}", resource.plural, resource.group)),
        labels: Some([("app".to_owned(), "istio-pilot".to_owned())].into()),
        ..ObjectMeta::default()
    };
    Some(CustomResourceDefinition {
        metadata,
        spec: CustomResourceDefinitionSpec {
            conversion: Some(CustomResourceConversion { strategy: "None".to_owned(), webhook: None }),
            group: resource.group.to_owned(),
            names: names.clone(),
            preserve_unknown_fields: None,
            scope: if resource.kind.namespaced() { "Namespaced" } else { "Cluster" }.to_owned(),
            versions: resource
                .versions
                .iter()
                .map(|version| definition_version(resource, version, *version == preferred, &schema))
                .collect(),
        },
        status: Some(CustomResourceDefinitionStatus {
            accepted_names: Some(names),
            conditions: Some(vec![
                condition("NamesAccepted", "NoConflicts", "no conflicts found"),
                condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
            ]),
            stored_versions: Some(vec![preferred.to_owned()]),
        }),
    })
}

fn names(resource: &Resource) -> CustomResourceDefinitionNames {
    let owned = |texts: &[&str]| {
        (!texts.is_empty()).then(|| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<String>>())
    };
    CustomResourceDefinitionNames {
        categories: owned(resource.categories),
        kind: resource.kind.name().to_owned(),
        list_kind: Some(format!("{}List", resource.kind.name())),
        plural: resource.plural.to_owned(),
        short_names: owned(resource.short_names),
        singular: Some(resource.singular.to_owned()),
    }
}

fn definition_version(
    resource: &Resource,
    version: &str,
    storage: bool,
    schema: &Value,
) -> CustomResourceDefinitionVersion {
    let columns = named_columns(resource.kind).map(|columns| {
        let column = |column: &PrinterColumn| CustomResourceColumnDefinition {
            description: Some(column.description.to_owned()),
            json_path: column.json_path.to_owned(),
            name: column.name.to_owned(),
            type_: column.kind.to_owned(),
            ..CustomResourceColumnDefinition::default()
        };
        columns.iter().map(column).collect()
    });
    CustomResourceDefinitionVersion {
        additional_printer_columns: columns,
        name: version.to_owned(),
        schema: Some(CustomResourceValidation { open_api_v3_schema: properties(schema) }),
        served: true,
        storage,
        subresources: Some(CustomResourceSubresources {
            scale: None,
            status: Some(CustomResourceSubresourceStatus(json!({}))),
        }),
        ..CustomResourceDefinitionVersion::default()
    }
}

/// The schema in the type that a definition has it in; the tests hold that none is lost.
fn properties(schema: &Value) -> Option<JSONSchemaProps> {
    serde_json::from_value(schema.clone()).ok()
}

fn condition(kind: &str, reason: &str, message: &str) -> CustomResourceDefinitionCondition {
    CustomResourceDefinitionCondition {
        message: Some(message.to_owned()),
        reason: Some(reason.to_owned()),
        status: "True".to_owned(),
        type_: kind.to_owned(),
        ..CustomResourceDefinitionCondition::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_istio_has_its_definition() {
        let names: Vec<String> = istio_crds().into_iter().filter_map(|crd| crd.metadata.name).collect();
        assert_eq!(
            names,
            [
                "gateways.networking.istio.io",
                "virtualservices.networking.istio.io",
                "destinationrules.networking.istio.io",
                "serviceentries.networking.istio.io",
                "sidecars.networking.istio.io",
                "peerauthentications.security.istio.io",
                "requestauthentications.security.istio.io",
                "authorizationpolicies.security.istio.io",
            ]
        );
    }

    #[test]
    fn definitions_are_established_and_whole() {
        for crd in istio_crds() {
            let name = crd.metadata.name.as_deref().unwrap();
            assert_eq!(crd.spec.versions[0].name, "v1", "{name}");
            assert_eq!(crd.spec.versions.iter().filter(|version| version.storage).count(), 1, "{name}");
            let conditions = crd.status.unwrap().conditions.unwrap();
            assert!(conditions.iter().any(|one| one.type_ == "Established" && one.status == "True"), "{name}");
            for version in &crd.spec.versions {
                let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
                let written = serde_json::to_value(schema.unwrap_or_else(|| panic!("{name}"))).unwrap();
                let kind = Kind::of(&crd.spec.names.kind).unwrap();
                // Numbers are floating point in the type of a definition.
                let plain = |value: &Value| value.to_string().replace(".0", "");
                assert_eq!(plain(&written["properties"]["spec"]), plain(&istio::spec(kind).unwrap()), "{name}");
            }
        }
    }

    #[test]
    fn a_kind_whose_definition_names_no_columns_shows_its_age() {
        assert_eq!(columns(Kind::Gateway), [AGE]);
        assert_eq!(columns(Kind::VirtualService).len(), 3);
    }
}
