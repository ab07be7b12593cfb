//! Requests and tokens to ask about.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use malha_policy::jwt::{Jwks, JwtRule, Keys};
use malha_policy::{Decision, Identity, InboundPolicy, RequestView};
use serde_json::{Value, json};

/// The time that tests ask at.
pub(crate) const NOW: u64 = 1_800_000_000;

const SECRET: &[u8] = b"a shared secret, for tests alone";
const OTHER_SECRET: &[u8] = b"another secret, for tests as well";

/// The key that [`sign`] signs with.
pub(crate) static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = json!({"kty": "oct", "kid": "one", "k": URL_SAFE_NO_PAD.encode(SECRET)});
    Keys::Ready(Arc::new(Jwks::parse(&json!({"keys": [key]}).to_string()).unwrap()))
});

/// A request, as a test changes it.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) authority: String,
    pub(crate) headers: HeaderMap,
    pub(crate) port: u16,
    pub(crate) destination_ip: IpAddr,
    pub(crate) source_ip: IpAddr,
    pub(crate) remote_ip: IpAddr,
    pub(crate) source: Option<Identity>,
    pub(crate) sni: Option<String>,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            method: Method::GET,
            path: "/".to_owned(),
            authority: "h".to_owned(),
            headers: HeaderMap::new(),
            port: 8080,
            destination_ip: Ipv4Addr::new(10, 0, 0, 9).into(),
            source_ip: Ipv4Addr::new(10, 0, 0, 1).into(),
            remote_ip: Ipv4Addr::new(192, 0, 2, 1).into(),
            source: None,
            sni: None,
        }
    }
}

impl Ask {
    pub(crate) fn path(path: &str) -> Self {
        Self { path: path.to_owned(), ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn from(mut self, source: Identity) -> Self {
        self.source = Some(source);
        self
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        RequestView {
            method: &self.method,
            path_and_query: &self.path,
            scheme: "http",
            authority: &self.authority,
            headers: &self.headers,
            destination_ip: self.destination_ip,
            destination_port: self.port,
            source_ip: self.source_ip,
            remote_ip: self.remote_ip,
            source: self.source.as_ref(),
            sni: self.sni.as_deref(),
        }
    }
}

/// Status and body in one, `200` for what goes on.
pub(crate) fn answer(policy: &InboundPolicy, ask: &Ask) -> String {
    match policy.check(&ask.view(), NOW) {
        Decision::Allowed(_) => "200".to_owned(),
        Decision::Denied(denied) => format!("{} {}", denied.status.as_u16(), denied.body),
        Decision::Closed => "closed".to_owned(),
    }
}

/// A rule that takes the tokens of `issuer`, signed by [`sign`].
pub(crate) fn rule(issuer: &str) -> JwtRule {
    JwtRule {
        issuer: issuer.to_owned(),
        audiences: Vec::new(),
        keys: KEYS.clone(),
        from_headers: Vec::new(),
        from_params: Vec::new(),
        from_cookies: Vec::new(),
        forward_original_token: false,
        output_payload_to_header: None,
        output_claim_to_headers: Vec::new(),
        space_delimited_claims: Vec::new(),
    }
}

/// A token with this header and payload, signed with the key that is known, or with another.
pub(crate) fn sign_raw(header: &str, payload: &str, known: bool) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, if known { SECRET } else { OTHER_SECRET });
    let signature = ring::hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// A good token of issuer `a`, but for these claims; `null` leaves one out.
pub(crate) fn sign(claims: &Value) -> String {
    let mut payload = json!({"iss": "a", "sub": "alice", "exp": NOW + 3600});
    for (name, value) in claims.as_object().unwrap() {
        match value {
            Value::Null => payload.as_object_mut().unwrap().remove(name),
            value => payload.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    sign_raw(r#"{"alg":"HS256","kid":"one"}"#, &payload.to_string(), true)
}
