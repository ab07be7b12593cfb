//! How objects are shown: whole, as rows of a table, or by their metadata.

use k8s_openapi::jiff::Timestamp;
use malha_cluster::resource::Resource;
use malha_cluster::{Object, encode};
use malha_world::Clock;
use serde_json::{Map, Value, json};

use crate::patch;
use crate::request::{Form, Params, Target};
use crate::schema::is_istio;
use crate::status::Failure;
use crate::table::{Include, table};
use crate::time::timestamp;

/// An object as clients see it, in a version of its group, with the empty fields that a real cluster shows.
pub(crate) fn shown(object: &Object, version: &str) -> Value {
    let mut value = encode(object, version);
    patch::fill(object.kind(), &mut value);
    value
}

/// Shows the objects of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    resource: &'static Resource,
    version: &'static str,
    form: Form,
    include: Include,
    clock: Clock,
}

impl View {
    pub(crate) fn new(target: &Target, form: Form, params: &Params, clock: Clock) -> Result<Self, Failure> {
        let include = Include::read(params.get("includeObject")).map_err(Failure::bad_request)?;
        Ok(Self { resource: target.resource, version: target.version, form, include, clock })
    }

    fn now(&self) -> Timestamp {
        timestamp(self.clock.now())
    }

    /// One object.
    pub(crate) fn one(&self, object: &Object) -> Value {
        match self.form {
            Form::Whole => shown(object, self.version),
            Form::Metadata(version) => metadata(object, version),
            Form::Table(version) => {
                let meta = json!({"resourceVersion": object.metadata().resource_version});
                self.table(std::slice::from_ref(object), version, meta)
            }
        }
    }

    /// A list; `meta` is its metadata.
    pub(crate) fn many(&self, objects: &[Object], meta: Map<String, Value>) -> Value {
        let meta = Value::Object(meta);
        let (kind, api_version, items): (_, _, Vec<Value>) = match self.form {
            Form::Table(version) => return self.table(objects, version, meta),
            Form::Whole => {
                let items = objects.iter().map(|object| self.item(object)).collect();
                (format!("{}List", self.resource.kind), self.resource.api_version(self.version), items)
            }
            Form::Metadata(version) => {
                let items = objects.iter().map(|object| metadata(object, version)).collect();
                ("PartialObjectMetadataList".to_owned(), format!("meta.k8s.io/{version}"), items)
            }
        };
        json!({"kind": kind, "apiVersion": api_version, "metadata": meta, "items": items})
    }

    /// An item of a list. A list says what its items are; only those of custom resources say it themselves.
    fn item(&self, object: &Object) -> Value {
        let mut value = shown(object, self.version);
        if !is_istio(self.resource)
            && let Some(fields) = value.as_object_mut()
        {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        value
    }

    /// The object of a watch's event. The first table of a watch names the columns, the others only have rows.
    pub(crate) fn event(&self, object: &Object, first: bool) -> Value {
        let mut value = self.one(object);
        if matches!(self.form, Form::Table(_)) && !first {
            value["columnDefinitions"] = Value::Null;
        }
        value
    }

    /// The object of a bookmark: nothing but a version, and a mark at the end of what was there at the beginning.
    pub(crate) fn bookmark(&self, version: u64, initial: bool) -> Value {
        let mut meta = json!({"resourceVersion": version.to_string(), "creationTimestamp": null});
        if initial {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.form {
            Form::Whole => {
                let api_version = self.resource.api_version(self.version);
                let mut value = json!({"kind": self.resource.kind.name(), "apiVersion": api_version, "metadata": meta});
                patch::fill(self.resource.kind, &mut value);
                value
            }
            Form::Metadata(version) => {
                json!({"kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": meta})
            }
            Form::Table(table) => json!({
                "kind": "Table", "apiVersion": format!("meta.k8s.io/{table}"),
                "metadata": {"resourceVersion": version.to_string()}, "columnDefinitions": null,
                "rows": [{"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{table}"), "metadata": meta,
                }}],
            }),
        }
    }

    fn table(&self, objects: &[Object], version: &str, meta: Value) -> Value {
        let mut value = table(self.resource, objects, self.version, self.now(), self.include);
        value["apiVersion"] = format!("meta.k8s.io/{version}").into();
        value["metadata"] = meta;
        value
    }
}

fn metadata(object: &Object, version: &str) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": format!("meta.k8s.io/{version}"),
        "metadata": object.metadata(),
    })
}
