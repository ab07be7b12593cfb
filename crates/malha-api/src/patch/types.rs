//! The types of the served objects as a graph, to know a field's type while walking an object.
//!
//! The shapes come from k8s-openapi's schemas, how lists and maps merge from [`lists`](super::lists). Kubernetes does the same
//! in `apimachinery/pkg/util/managedfields/internal/typeconverter.go` out of its schemas. Built once, on first use.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::autoscaling::v1::HorizontalPodAutoscaler as FirstAutoscaler;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use malha_cluster::Kind;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::lists::{self, List, Rule};

/// A type of the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type(usize);

/// What a scalar may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Is {
    Text,
    Number,
    Bool,
    /// A number or a text, and whatever else is no list and no object.
    Any,
}

/// What values of a type are.
#[derive(Debug)]
pub(super) enum Shape {
    Scalar(Is),
    List(ListOf),
    Object(ObjectOf),
    /// Any JSON: scalars, lists that are atomic, and such objects.
    Any(ObjectOf),
}

/// What one value of a type is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Atom {
    Scalar(Is),
    /// Without a type of list: an atomic one, of anything.
    List(Option<&'static ListOf>),
    Object(&'static ObjectOf),
}

/// A type of lists.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListOf {
    pub(super) item: Type,
    pub(super) merges: List,
}

/// A type of objects: a struct, a map, or both.
#[derive(Debug)]
pub(super) struct ObjectOf {
    /// As Kubernetes' schemas call it; none for a map that has no name of its own.
    pub(super) name: Option<String>,
    pub(super) atomic: bool,
    fields: BTreeMap<String, Field>,
    /// The type of a field that is not among these.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Field {
    is: Type,
    rule: Option<&'static Rule>,
}

#[derive(Clone, Copy, Debug)]
struct Rest {
    is: Type,
    /// Whether it counts as a field that the type declares, or as an entry of a map.
    declared: bool,
}

/// What an object says of one of its fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    pub(super) is: Type,
    /// A field rather than an entry of a map.
    pub(super) field: bool,
    pub(super) rule: Option<&'static Rule>,
}

impl ObjectOf {
    fn map_of(rest: Rest, fields: BTreeMap<String, Field>) -> Self {
        Self { name: None, atomic: false, fields, rest: Some(rest) }
    }

    pub(super) fn field(&self, name: &str) -> Option<Declared> {
        match self.fields.get(name) {
            Some(field) => Some(Declared { is: field.is, field: true, rule: field.rule }),
            None => self.rest.map(|rest| Declared { is: rest.is, field: rest.declared, rule: None }),
        }
    }

    /// The field that Go's JSON would take for this name: exactly, or else whatever its case.
    pub(super) fn field_of_any_case(&self, name: &str) -> Option<Declared> {
        let near = || self.fields.keys().find(|field| field.eq_ignore_ascii_case(name));
        if self.fields.contains_key(name) { self.field(name) } else { self.field(near()?) }
    }

    /// Whether it is a struct of Go, which has fields, rather than a map.
    pub(super) fn is_struct(&self) -> bool {
        self.rest.is_none()
    }
}

impl Type {
    /// The type of a kind's objects in a version: `autoscaling/v1`.
    pub(super) fn of(kind: Kind, api_version: &str) -> Self {
        if kind == Kind::HorizontalPodAutoscaler && api_version == "autoscaling/v1" {
            // The one kind whose versions differ.
            return GRAPH.first_autoscaler;
        }
        GRAPH.kinds.get(&kind).copied().unwrap_or(GRAPH.free)
    }

    /// The type of an object of a kind, by the version that it says.
    pub(super) fn of_object(kind: Kind, object: &Value) -> Self {
        Self::of(kind, object["apiVersion"].as_str().unwrap_or_default())
    }

    /// Any JSON.
    pub(super) fn free() -> Self {
        GRAPH.free
    }

    fn shape(self) -> &'static Shape {
        &GRAPH.shapes[self.0]
    }

    /// What this value of the type is. Where the type says one thing and the value is another, it is as the type says.
    pub(super) fn atom(self, value: Option<&Value>) -> Atom {
        match (self.shape(), value) {
            (Shape::Scalar(is), _) => Atom::Scalar(*is),
            (Shape::List(list), _) => Atom::List(Some(list)),
            (Shape::Any(_), Some(Value::Array(_))) => Atom::List(None),
            (Shape::Any(_), Some(Value::Bool(_) | Value::Number(_) | Value::String(_))) => Atom::Scalar(Is::Any),
            (Shape::Object(object) | Shape::Any(object), _) => Atom::Object(object),
        }
    }

    pub(super) fn object(self) -> Option<&'static ObjectOf> {
        match self.shape() {
            Shape::Object(object) | Shape::Any(object) => Some(object),
            _ => None,
        }
    }

    pub(super) fn list(self) -> Option<&'static ListOf> {
        match self.shape() {
            Shape::List(list) => Some(list),
            _ => None,
        }
    }
}

/// The value that an item has for a key of its list where it leaves it out.
pub(super) fn key_default(list: &ListOf, key: &str) -> Option<Value> {
    lists::key_default(list.item.object()?.name.as_deref()?, key)
}

static GRAPH: LazyLock<Graph> = LazyLock::new(Graph::build);

struct Graph {
    shapes: Vec<Shape>,
    names: BTreeMap<String, Type>,
    kinds: BTreeMap<Kind, Type>,
    first_autoscaler: Type,
    free: Type,
}

impl Graph {
    fn build() -> Self {
        let mut schemas = SchemaSettings::draft2020_12().into_generator();
        let mut roots = Vec::new();
        macro_rules! root {
            ($($kind:ident)*) => {
                $(roots.push((Kind::$kind, schemas.subschema_for::<$kind>().to_value()));)*
            };
        }
        root!(Namespace Node ServiceAccount ConfigMap Secret PersistentVolumeClaim Service Endpoints Pod Event Deployment ReplicaSet
            HorizontalPodAutoscaler PodDisruptionBudget EndpointSlice Lease RuntimeClass CustomResourceDefinition);
        let first_autoscaler = schemas.subschema_for::<FirstAutoscaler>().to_value();
        let metadata = schemas.subschema_for::<ObjectMeta>().to_value();
        let definitions = schemas.take_definitions(true);
        let free = Type(0);
        let anything = Shape::Any(ObjectOf::map_of(Rest { is: free, declared: false }, BTreeMap::new()));
        let (names, kinds) = (BTreeMap::new(), BTreeMap::new());
        let mut graph = Self { shapes: vec![anything], names, kinds, first_autoscaler: free, free };
        for (kind, schema) in roots {
            let is = graph.read(&schema, None, &definitions);
            graph.kinds.insert(kind, is);
        }
        graph.first_autoscaler = graph.read(&first_autoscaler, None, &definitions);
        let metadata = graph.read(&metadata, None, &definitions);
        graph.add_istio(metadata);
        graph
    }

    fn add(&mut self, shape: Shape) -> Type {
        self.shapes.push(shape);
        Type(self.shapes.len() - 1)
    }

    /// The type that a schema describes. `rule` is what the table says of the field that it is written at.
    fn read(&mut self, schema: &Value, rule: Option<&'static Rule>, definitions: &Map<String, Value>) -> Type {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.read_named(reference.rsplit('/').next().unwrap_or_default(), definitions);
        }
        if schema["x-kubernetes-int-or-string"] == true {
            return self.add(Shape::Scalar(Is::Any));
        }
        match schema["type"].as_str() {
            Some("string") => self.add(Shape::Scalar(Is::Text)),
            Some("integer" | "number") => self.add(Shape::Scalar(Is::Number)),
            Some("boolean") => self.add(Shape::Scalar(Is::Bool)),
            Some("array") => {
                let item = self.read(&schema["items"], None, definitions);
                let merges = rule.and_then(|rule| rule.list).unwrap_or(List::Atomic);
                self.add(Shape::List(ListOf { item, merges }))
            }
            Some("object") => {
                let atomic = rule.is_some_and(|rule| rule.atomic_map);
                match schema.get("additionalProperties") {
                    Some(items) => {
                        let rest = Some(Rest { is: self.read(items, None, definitions), declared: false });
                        self.add(Shape::Object(ObjectOf { name: None, atomic, fields: BTreeMap::new(), rest }))
                    }
                    None => self.free,
                }
            }
            _ => self.free,
        }
    }

    fn read_named(&mut self, name: &str, definitions: &Map<String, Value>) -> Type {
        if let Some(known) = self.names.get(name) {
            return *known;
        }
        let Some(schema) = definitions.get(name) else { return self.free };
        let Some(properties) = schema["properties"].as_object() else {
            let is = self.read(schema, None, definitions);
            self.names.insert(name.to_owned(), is);
            return is;
        };
        // Known before its fields are read: types contain themselves.
        let is = self.add(Shape::Scalar(Is::Any));
        self.names.insert(name.to_owned(), is);
        let mut fields = BTreeMap::new();
        for (field, schema) in properties {
            let rule = lists::rule(name, field);
            fields.insert(field.clone(), Field { is: self.read(schema, rule, definitions), rule });
        }
        let name = Some(name.to_owned());
        let atomic = name.as_deref().is_some_and(lists::atomic);
        self.shapes[is.0] = Shape::Object(ObjectOf { name, atomic, fields, rest: None });
        is
    }

    /// Istio's kinds. Their CRDs declare no list types, so every list is atomic; objects are structs but for the few maps of
    /// Istio's API that are not inside of a list, which are known by their names.
    fn add_istio(&mut self, metadata: Type) {
        const MAPS: &[&str] = &["labels", "matchLabels", "portLevelMtls"];
        let text = self.add(Shape::Scalar(Is::Text));
        let maps = |more: &[&str], map| {
            let names = MAPS.iter().chain(more).map(|name| (*name).to_owned());
            names.map(|name| (name, Field { is: map, rule: None })).collect()
        };
        // Any value inside of a spec; as an object, its fields are declared.
        let part = Type(self.shapes.len());
        let parts = Rest { is: part, declared: true };
        let map = self.free;
        self.add(Shape::Any(ObjectOf::map_of(parts, maps(&[], map))));
        let gateway = self.add(Shape::Any(ObjectOf::map_of(parts, maps(&["selector"], map))));
        for kind in Kind::ALL {
            if self.kinds.contains_key(kind) {
                continue;
            }
            let spec = if *kind == Kind::Gateway { gateway } else { part };
            let fields =
                [("apiVersion", text), ("kind", text), ("metadata", metadata), ("spec", spec), ("status", part)];
            let fields = fields.into_iter().map(|(name, is)| (name.to_owned(), Field { is, rule: None })).collect();
            let is = self.add(Shape::Object(ObjectOf { name: None, atomic: false, fields, rest: None }));
            self.kinds.insert(*kind, is);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_field_of_a_served_type() {
        let mut wrong = Vec::new();
        for (name, rules) in lists::RULES {
            let object = GRAPH.names.get(*name).and_then(|is| is.object());
            for (field, rule) in *rules {
                let Some(declared) = object.and_then(|object| object.fields.get(*field)) else {
                    wrong.push(format!("{name}.{field} is missing"));
                    continue;
                };
                if rule.list.is_some() != declared.is.list().is_some() {
                    wrong.push(format!("{name}.{field} is no list"));
                }
                if let (Some(List::Map(keys)), Some(list)) = (rule.list, declared.is.list()) {
                    let item = list.item.object();
                    wrong.extend(
                        keys.iter()
                            .filter(|key| item.is_none_or(|item| !item.fields.contains_key(**key)))
                            .map(|key| format!("{name}.{field} has no {key}")),
                    );
                }
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        assert!(lists::RULES.is_sorted_by_key(|row| row.0));
    }

    #[test]
    fn every_kind_has_a_type_with_metadata() {
        for kind in Kind::ALL {
            let metadata =
                Type::of(*kind, kind.api_version()).object().and_then(|object| object.field("metadata")).unwrap();
            let name = metadata.is.object().unwrap().name.as_deref();
            assert_eq!(name, Some("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"), "{kind}");
        }
    }
}
