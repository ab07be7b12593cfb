//! What a request asks for: the path and the query, read as the API server reads them
//! (`apiserver/pkg/endpoints/request/requestinfo.go`).

use http::HeaderMap;
use http::header::{ACCEPT, USER_AGENT};
use http::request::Parts;
use malha_cluster::resource::Resource;
use malha_cluster::{Key, Kind};
use percent_encoding::percent_decode_str;

use crate::patch::Manager;
use crate::schema::validate::FieldValidation;
use crate::status::Failure;

/// The object, or the objects, of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) resource: &'static Resource,
    pub(crate) version: &'static str,
    /// `None`: all namespaces, or a resource that has none.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Target {
    /// The key of the object that the URL names.
    pub(crate) fn key(&self, name: &str) -> Key {
        Key::new(self.resource.kind, self.namespace.clone().unwrap_or_default(), name)
    }

    /// `apps/v1`.
    pub(crate) fn api_version(&self) -> String {
        self.resource.api_version(self.version)
    }

    /// What every answer says about a version that is on its way out (apiserver `pkg/endpoints/deprecation`).
    pub(crate) fn deprecation(&self) -> Option<String> {
        (self.resource.kind == Kind::Endpoints)
            .then(|| "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned())
    }
}

/// A path below a group and version, in its parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

impl Place {
    /// `None`: the path is of another sort, discovery or none at all.
    pub(crate) fn read(path: &str) -> Option<Self> {
        let parts: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8().map(String::from))
            .collect::<Result<_, _>>()
            .ok()?;
        let mut parts = parts.into_iter().peekable();
        let group = match parts.next()?.as_str() {
            "api" => String::new(),
            "apis" => parts.next()?,
            _ => return None,
        };
        let version = parts.next()?;
        let mut rest: Vec<String> = parts.collect();
        let mut place = Self { group, version, ..Self::default() };
        // A namespace is also an object with subresources of its own.
        if rest.len() > 2 && rest[0] == "namespaces" && !matches!(rest[2].as_str(), "status" | "finalize") {
            place.namespace = Some(rest.remove(1));
            rest.remove(0);
        }
        let mut rest = rest.into_iter();
        place.plural = rest.next().filter(|plural| !plural.is_empty())?;
        place.name = rest.next();
        place.subresource = rest.next();
        if rest.next().is_some() || place.name.as_deref() == Some("") || place.subresource.as_deref() == Some("") {
            return None;
        }
        Some(place)
    }

    /// The resource that is served there.
    pub(crate) fn target(self) -> Result<Target, Failure> {
        let resource = Resource::at(&self.group, &self.version, &self.plural).ok_or_else(Failure::no_resource)?;
        let version = resource.versions.iter().find(|version| **version == self.version).copied();
        let version = version.ok_or_else(Failure::no_resource)?;
        let namespaced = resource.kind.namespaced();
        let known = self.subresource.as_deref().is_none_or(|name| resource.subresources.contains(&name));
        if !known
            || (self.namespace.is_some() && !namespaced)
            || (self.name.is_some() && self.namespace.is_none() && namespaced)
        {
            return Err(Failure::no_resource());
        }
        let Self { namespace, name, subresource, .. } = self;
        Ok(Target { resource, version, namespace, name, subresource })
    }
}

/// The query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    pub(crate) fn read(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The first value of a parameter; an empty one counts as none.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|value| !value.is_empty())
    }

    fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether a flag is set: as apimachinery reads it, anything but `false` and `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.flag_of(name).unwrap_or(false)
    }

    /// A flag, if there is one.
    pub(crate) fn flag_of(&self, name: &str) -> Option<bool> {
        self.raw(name).map(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let failed = || Failure::bad_request(format!("strconv.ParseInt: parsing {value:?}: invalid syntax"));
        value.parse().map(Some).map_err(|_| failed())
    }

    /// `dryRun=All`.
    pub(crate) fn dry_run(&self) -> Result<bool, Failure> {
        match self.get("dryRun") {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(Failure::invalid_options(
                "CreateOptions",
                &[(
                    "FieldValueNotSupported",
                    "dryRun",
                    format!("Unsupported value: {other:?}: supported values: \"All\""),
                )],
            )),
        }
    }

    /// `fieldValidation`.
    pub(crate) fn validation(&self) -> Result<FieldValidation, Failure> {
        FieldValidation::read(self.get("fieldValidation")).map_err(Failure::bad_request)
    }

    /// Who writes.
    pub(crate) fn manager(&self, headers: &HeaderMap) -> Result<String, Failure> {
        let given = self.get("fieldManager").unwrap_or_default();
        if given.len() > 128 {
            let message = "Too long: may not be more than 128 bytes".to_owned();
            return Err(Failure::invalid_options("UpdateOptions", &[("FieldValueTooLong", "fieldManager", message)]));
        }
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Ok(Manager::name(given, agent))
    }
}

/// In which form objects go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Whole,
    /// As rows with columns (`meta.k8s.io` of this version).
    Table(&'static str),
    /// Their metadata alone (`meta.k8s.io` of this version).
    Metadata(&'static str),
}

impl Form {
    /// The first form that the client takes and there is. Clients name several and like the first best.
    pub(crate) fn negotiate(parts: &Parts) -> Result<Self, Failure> {
        let mut accept = String::new();
        for value in parts.headers.get_all(ACCEPT) {
            if !accept.is_empty() {
                accept.push(',');
            }
            accept.push_str(value.to_str().map_err(|_| Failure::not_acceptable())?);
        }
        if accept.trim().is_empty() {
            return Ok(Self::Whole);
        }
        for one in accept.split(',') {
            let mut words = one.split(';').map(str::trim);
            if !matches!(words.next(), Some("application/json" | "application/*" | "*/*")) {
                continue;
            }
            let (mut kind, mut group, mut version) = ("", "", "");
            for (name, value) in words.filter_map(|word| word.split_once('=')) {
                match name {
                    "as" => kind = value,
                    "g" => group = value,
                    "v" => version = value,
                    _ => {}
                }
            }
            let version = match version {
                "v1" => "v1",
                "v1beta1" => "v1beta1",
                _ => "",
            };
            match kind {
                "" => return Ok(Self::Whole),
                "Table" if group == "meta.k8s.io" && !version.is_empty() => return Ok(Self::Table(version)),
                "PartialObjectMetadata" | "PartialObjectMetadataList"
                    if group == "meta.k8s.io" && !version.is_empty() =>
                {
                    return Ok(Self::Metadata(version));
                }
                _ => {}
            }
        }
        Err(Failure::not_acceptable())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// Kind, namespace, name, subresource.
    type Found = (String, Option<String>, Option<String>, Option<String>);

    fn target(path: &str) -> Result<Found, u16> {
        let target = Place::read(path).ok_or(404_u16)?.target().map_err(|failure| failure.code.as_u16())?;
        Ok((target.resource.kind.to_string(), target.namespace, target.name, target.subresource))
    }

    #[test]
    fn a_path_says_what_it_is_about() {
        let some = |text: &str| Some(text.to_owned());
        for (path, want) in [
            ("/api/v1/pods", Ok(("Pod", None, None, None))),
            ("/api/v1/namespaces/shop/pods/", Ok(("Pod", some("shop"), None, None))),
            ("/api/v1/namespaces/shop/pods/a%2Db/log", Ok(("Pod", some("shop"), some("a-b"), some("log")))),
            ("/api/v1/namespaces", Ok(("Namespace", None, None, None))),
            ("/api/v1/namespaces/shop", Ok(("Namespace", None, some("shop"), None))),
            ("/api/v1/namespaces/shop/status", Ok(("Namespace", None, some("shop"), some("status")))),
            (
                "/apis/apps/v1/namespaces/shop/deployments/a/scale",
                Ok(("Deployment", some("shop"), some("a"), some("scale"))),
            ),
            ("/apis/networking.istio.io/v1alpha3/gateways", Ok(("Gateway", None, None, None))),
            ("/api/v1/pods/a", Err(404)),
            ("/api/v1/namespaces/shop/nodes", Err(404)),
            ("/api/v1/namespaces/shop/pods/a/scale", Err(404)),
            ("/api/v1/namespaces/shop/pods/a/log/b", Err(404)),
            ("/apis/batch/v1/jobs", Err(404)),
            ("/api/v1", Err(404)),
            ("/other", Err(404)),
        ] {
            let want = want.map(|(kind, namespace, name, sub)| (kind.to_owned(), namespace, name, sub));
            assert_eq!(target(path), want, "{path}");
        }
    }

    #[test]
    fn clients_get_the_first_form_they_name_that_there_is() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        for (accept, want) in [
            ("", Some(Form::Whole)),
            ("*/*", Some(Form::Whole)),
            ("application/json", Some(Form::Whole)),
            (table, Some(Form::Table("v1"))),
            ("application/vnd.kubernetes.protobuf,application/json", Some(Form::Whole)),
            ("application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io, application/json", Some(Form::Whole)),
            ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", Some(Form::Metadata("v1"))),
            ("application/vnd.kubernetes.protobuf", None),
            ("application/json;as=Other;v=v1;g=meta.k8s.io", None),
        ] {
            let (parts, ()) = Request::builder().header(ACCEPT, accept).body(()).unwrap().into_parts();
            assert_eq!(Form::negotiate(&parts).ok(), want, "{accept}");
        }
    }

    #[test]
    fn flags_are_read_as_apimachinery_does() {
        let params = Params::read(Some("a=true&b=false&c&d=0&e=1&f="));
        let flags: Vec<_> = ["a", "b", "c", "d", "e", "f", "g"].iter().map(|name| params.flag_of(name)).collect();
        assert_eq!(flags, [Some(true), Some(false), Some(true), Some(false), Some(true), Some(true), None]);
        assert_eq!(params.get("f"), None);
    }
}
