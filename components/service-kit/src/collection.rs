//! A read-only collection of JSON objects: all of it, one by id, or those that belong to something.
//!
//! posts and comments are two of these. The usual request, for everything, is answered with the bytes that lie in the
//! component: they are only parsed to look for something in them.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;

use crate::bearer::authorize;
use crate::host::{FetchError, Host, Outgoing};
use crate::http::{Request, Response, is_read};
use crate::member;
use crate::problem::{method_not_allowed, not_found, problem};
use crate::query;

/// How long the other source may take, from the first byte of the request to the last of the response.
const SOURCE_LIMIT: Duration = Duration::from_secs(3);

/// How large the other source's answer may be: four times the larger data set of our own.
const SOURCE_MAX_BODY: usize = 512 * 1024;

/// One collection.
#[derive(Clone, Copy, Debug)]
pub struct Collection {
    /// Its name, which is also its path and the scope that reading it takes: `posts`.
    pub name: &'static str,
    /// The member that an item is filtered by, which is also the query parameter: `userId`.
    pub filter: &'static str,
    /// The variable that may name another source: `posts_source`.
    pub source: &'static str,
    /// The items, a JSON array.
    pub embedded: &'static str,
}

/// What a request wants of a collection.
enum Wanted {
    All,
    One(u32),
    Of(u32),
}

/// Answers a request to a collection.
pub fn answer(collection: &Collection, request: &Request, host: &impl Host) -> Response {
    let outcome = wanted(collection, request).and_then(|wanted| {
        authorize(request, host, collection.name)?;
        let items = items(collection, host)?;
        select(collection, request, &wanted, items)
    });
    outcome.unwrap_or_else(|refusal| *refusal)
}

fn wanted(collection: &Collection, request: &Request) -> Result<Wanted, Box<Response>> {
    let below = request
        .path
        .strip_prefix('/')
        .and_then(|path| path.strip_prefix(collection.name))
        .ok_or_else(|| not_found(&request.path))?;
    let bad_request = |detail: String| Box::new(problem(400, &detail));
    let wanted = match below.strip_prefix('/') {
        None if below.is_empty() => match query::filter(request.query.as_deref(), collection.filter) {
            Ok(None) => Wanted::All,
            Ok(Some(id)) => Wanted::Of(id),
            Err(detail) => return Err(bad_request(detail)),
        },
        Some(id) if !id.is_empty() && !id.contains('/') => match query::id(id) {
            Some(id) => Wanted::One(id),
            None => return Err(bad_request(format!("An id is a positive whole number, which {id:?} is not."))),
        },
        _ => return Err(Box::new(not_found(&request.path))),
    };
    if is_read(request) { Ok(wanted) } else { Err(Box::new(method_not_allowed(&request.method, "GET, HEAD"))) }
}

/// The whole collection, from the component or from the other source.
fn items(collection: &Collection, host: &impl Host) -> Result<Cow<'static, str>, Box<Response>> {
    let url = host.variable(collection.source);
    if url.is_empty() {
        return Ok(Cow::Borrowed(collection.embedded));
    }
    let failed = |status: u16, reason: String| {
        let detail = format!("The source of the {} failed.", collection.name);
        Box::new(problem(status, &detail).with_log_message(format!("{}: {reason}", collection.source)))
    };
    let request = Outgoing {
        url,
        headers: vec![("accept".to_owned(), b"application/json".to_vec())],
        max_body: SOURCE_MAX_BODY,
        limit: SOURCE_LIMIT,
    };
    let fetched = match host.fetch(&[request]).into_iter().next() {
        Some(Ok(fetched)) => fetched,
        Some(Err(error @ FetchError::Timeout)) => return Err(failed(504, error.to_string())),
        Some(Err(error)) => return Err(failed(502, error.to_string())),
        None => return Err(failed(502, "no answer".to_owned())),
    };
    match fetched.status {
        200 => {}
        504 => return Err(failed(504, "it answered 504".to_owned())),
        status => return Err(failed(502, format!("it answered {status}"))),
    }
    let text = String::from_utf8(fetched.body).map_err(|_| failed(502, "its answer is not UTF-8".to_owned()))?;
    // What is passed on must be a collection even where nobody looks inside.
    match serde_json::from_str::<Vec<&RawValue>>(&text) {
        Ok(_) => Ok(Cow::Owned(text)),
        Err(error) => Err(failed(502, format!("its answer is not a JSON array: {error}"))),
    }
}

fn select(
    collection: &Collection,
    request: &Request,
    wanted: &Wanted,
    items: Cow<'static, str>,
) -> Result<Response, Box<Response>> {
    let found = match wanted {
        Wanted::All => {
            return Ok(Response::json(match items {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            }));
        }
        Wanted::One(id) => matching(&items, "id", *id),
        Wanted::Of(id) => matching(&items, collection.filter, *id),
    };
    let found = found.map_err(|error| {
        let refusal = problem(502, &format!("The source of the {} failed.", collection.name));
        Box::new(refusal.with_log_message(format!("{}: an item is not an object: {error}", collection.source)))
    })?;
    match wanted {
        Wanted::One(_) => match found.first() {
            Some(item) => Ok(Response::json(item.get().as_bytes().to_vec())),
            None => Err(Box::new(not_found(&request.path))),
        },
        _ => Ok(Response::json(array(&found).into_bytes())),
    }
}

/// The items, as they are written, whose member has that value.
fn matching<'a>(items: &'a str, member: &str, value: u32) -> serde_json::Result<Vec<&'a RawValue>> {
    let mut found = Vec::new();
    for item in serde_json::from_str::<Vec<&RawValue>>(items)? {
        if member::number(item, member)? == Some(value) {
            found.push(item);
        }
    }
    Ok(found)
}

fn array(items: &[&RawValue]) -> String {
    let mut text = String::with_capacity(items.iter().map(|item| item.get().len() + 2).sum::<usize>() + 2);
    text.push('[');
    for (index, item) in items.iter().enumerate() {
        text.push_str(if index == 0 { "" } else { ",\n" });
        text.push_str(item.get());
    }
    text.push(']');
    text
}
