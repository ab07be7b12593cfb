//! The table of messages (`messages.txt`).

use std::collections::HashMap;
use std::sync::LazyLock;

use malha_cluster::resource::Resource;

/// A field of a message.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// In JSON; `-` for one whose fields are its holder's.
    pub(super) name: &'static str,
    pub(super) of: Type,
}

/// What a field holds.
#[derive(Clone, Debug)]
pub(super) enum Type {
    Text,
    Bool,
    Whole,
    Double,
    Bytes,
    /// JSON in bytes.
    Raw,
    Quantity,
    Time,
    IntOrText,
    Message(&'static str),
    List(Box<Type>),
    Map(Box<Type>),
    /// One that is there, whatever its value.
    Given(Box<Type>),
}

static ALL: LazyLock<HashMap<&'static str, Vec<Field>>> = LazyLock::new(|| {
    let lines = include_str!("messages.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, fields)| (name, fields.split(", ").filter_map(field).collect()))
        .collect()
});

fn field(text: &'static str) -> Option<Field> {
    let mut words = text.split(' ');
    let (number, name, of) = (words.next()?, words.next()?, words.next()?);
    Some(Field { number: number.parse().ok()?, name, of: of_type(of) })
}

fn of_type(text: &'static str) -> Type {
    if let Some(rest) = text.strip_prefix("[]") {
        // Items of a list are there, whatever their value.
        return Type::List(Box::new(Type::Given(Box::new(of_type(rest)))));
    }
    if let Some(rest) = text.strip_prefix("{}") {
        return Type::Map(Box::new(of_type(rest)));
    }
    if let Some(rest) = text.strip_prefix('?') {
        return Type::Given(Box::new(of_type(rest)));
    }
    match text {
        "string" => Type::Text,
        "bool" => Type::Bool,
        "int" => Type::Whole,
        "float" => Type::Double,
        "bytes" => Type::Bytes,
        "Raw" => Type::Raw,
        "Quantity" => Type::Quantity,
        "Time" | "MicroTime" => Type::Time,
        "IntOrString" => Type::IntOrText,
        name => Type::Message(name),
    }
}

/// The fields of a message; none for one that is not in the table.
pub(super) fn named(name: &str) -> &'static [Field] {
    ALL.get(name).map_or(&[], Vec::as_slice)
}

/// The fields of a kind.
pub(super) fn of(api_version: &str, kind: &str) -> Option<&'static [Field]> {
    let package = match (api_version, kind) {
        (_, "DeleteOptions") => "meta",
        ("autoscaling/v1", _) => "autoscaling1",
        ("policy/v1", "Eviction") => "policy",
        _ => {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let known = malha_cluster::Kind::of(kind).and_then(Resource::of)?;
            if known.group != group || !known.versions.contains(&version) {
                return None;
            }
            match group {
                "" => "core",
                group => group.split('.').next()?,
            }
        }
    };
    ALL.get(format!("{package}.{kind}").as_str()).map(Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use malha_cluster::Kind;

    use super::*;

    #[test]
    fn every_kind_of_kubernetes_itself_is_in_the_table() {
        for kind in Kind::ALL {
            let Some(resource) = Resource::of(*kind) else { panic!("{kind}") };
            // Definitions and custom resources are never sent in protobuf by kubectl; an API server takes no custom ones either.
            let missing = resource.group.ends_with(".istio.io") || resource.group == "apiextensions.k8s.io";
            assert_eq!(of(kind.api_version(), kind.name()).is_none(), missing, "{kind}");
        }
        for (version, kind) in [
            ("v1", "DeleteOptions"),
            ("autoscaling/v1", "Scale"),
            ("autoscaling/v1", "HorizontalPodAutoscaler"),
            ("policy/v1", "Eviction"),
        ] {
            assert!(of(version, kind).is_some(), "{kind}");
        }
    }

    #[test]
    fn every_message_that_a_field_names_is_there() {
        fn inside(of: &Type) -> Option<&'static str> {
            match of {
                Type::Message(name) => Some(name),
                Type::List(of) | Type::Map(of) | Type::Given(of) => inside(of),
                _ => None,
            }
        }
        for (message, fields) in ALL.iter() {
            for field in fields {
                if let Some(name) = inside(&field.of) {
                    assert!(ALL.contains_key(name), "{message}.{}: {name}", field.name);
                }
            }
        }
    }
}
