//! get, list, watch.

use http::{Response, StatusCode};

use super::Call;
use crate::cluster::read;
use crate::list::Wanted;
use crate::request::Target;
use crate::respond::{self, Body};
use crate::select::Selector;
use crate::status::Failure;
use crate::watch as watches;

pub(super) fn get(call: Call<'_>, target: &Target, name: &str) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let key = target.key(name);
    let found = read(call.shared.control.as_ref(), |store| store.find(&key).cloned());
    let object = found.ok_or_else(|| Failure::not_found(target.resource, name))?;
    Ok(call.json(StatusCode::OK, &view.one(&object)))
}

pub(super) fn list(call: Call<'_>, target: &Target) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let selector = Selector::read(target, call.params)?;
    let wanted = Wanted::read(selector, target.namespace.clone(), call.params)?;
    // Handles are taken under the lock, and shown outside of it.
    let page = read(call.shared.control.as_ref(), |store| wanted.cut(store, target.resource.kind))?;
    Ok(call.json(StatusCode::OK, &view.many(&page.objects, page.meta)))
}

pub(super) fn watch(call: Call<'_>, target: &Target) -> Result<Response<Body>, Failure> {
    let view = call.view(target)?;
    let selector = Selector::read(target, call.params)?;
    Ok(respond::lines(watches::start(call.shared, target, call.params, selector, view)?))
}
