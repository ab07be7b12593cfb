//! Which objects a list or a watch is for: `labelSelector` and `fieldSelector`.

mod fields;
mod labels;

use malha_cluster::Object;

use crate::request::{Params, Target};
use crate::status::Failure;

use fields::Fields;
use labels::Labels;

/// Both selectors, and the place.
#[derive(Clone, Debug)]
pub(crate) struct Selector {
    namespace: Option<String>,
    labels: Labels,
    fields: Fields,
}

impl Selector {
    /// What the query selects. A name in the path selects like `metadata.name`.
    pub(crate) fn read(target: &Target, params: &Params) -> Result<Self, Failure> {
        let labels = Labels::read(params.get("labelSelector").unwrap_or_default())
            .map_err(|why| Failure::bad_request(format!("unable to parse requirement: {why}")))?;
        let fields = Fields::read(target.resource.kind, params.get("fieldSelector").unwrap_or_default())
            .map_err(Failure::bad_request)?;
        Ok(Self { namespace: target.namespace.clone(), labels, fields })
    }

    /// Whether everything in the namespace is selected.
    pub(crate) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Whether an object of the right kind is selected.
    pub(crate) fn selects(&self, object: &Object) -> bool {
        let meta = object.metadata();
        self.namespace.as_ref().is_none_or(|wanted| meta.namespace.as_ref() == Some(wanted))
            && self.labels.select(meta.labels.as_ref())
            && self.fields.select(object)
    }
}
