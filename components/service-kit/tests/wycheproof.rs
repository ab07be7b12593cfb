//! Every ECDSA vector of Wycheproof for P-256, SHA-256 and `r || s`, against the verifier that the components use.

use std::io::Write;
use std::path::Path;

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use service_kit::es256::{public_key_from_pem, verifier};

const FILE: &str = "wycheproof/ecdsa_secp256r1_sha256_p1363_test.json";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vectors {
    number_of_tests: usize,
    test_groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    public_key_pem: String,
    tests: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Vector {
    tc_id: u32,
    comment: String,
    msg: String,
    sig: String,
    result: String,
}

#[test]
fn every_wycheproof_vector_is_judged_as_it_should_be() {
    let Some(corpora) = std::env::var_os("MALHA_CORPORA") else {
        // Straight to stderr: the test harness keeps what passing tests print to itself.
        let words = format!("NOT CHECKED: MALHA_CORPORA is not set, so no vector of {FILE} was verified");
        writeln!(std::io::stderr(), "{words}").unwrap();
        return;
    };
    let path = Path::new(&corpora).join(FILE);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let vectors: Vectors = serde_json::from_str(&text).unwrap();
    let mut judged = 0;
    for group in &vectors.test_groups {
        let key = public_key_from_pem(&group.public_key_pem).unwrap();
        let verifier = verifier(&Algorithm::ES256, &key).unwrap();
        for vector in &group.tests {
            let good = verifier.verify(&bytes(&vector.msg), &bytes(&vector.sig)).is_ok();
            assert_eq!(good, vector.result == "valid", "test {}: {}", vector.tc_id, vector.comment);
            judged += 1;
        }
    }
    assert_eq!(judged, vectors.number_of_tests);
}

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&hexadecimal[at..at + 2], 16).expect("two hexadecimal digits");
    (0..hexadecimal.len()).step_by(2).map(digits).collect()
}
