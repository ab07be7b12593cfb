//! The key pair that signs tokens: ES256 (RFC 7518 §3.4), in a Secret that git ignores.

use std::io;
use std::path::{Path, PathBuf};

use malha_world::Stream;
use p256::SecretKey;
use p256::elliptic_curve::Generate;
use p256::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};

use crate::private;

/// The name that `k8s/kustomization.yaml` gives to the file.
pub(crate) const FILE: &str = "00-jwt.yml";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error(
        "{0} is there already\n  hint: `malha keygen --force` replaces it; tokens that the old key signed are then refused"
    )]
    Exists(PathBuf),
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, io::Error),
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(String),
    #[error("cannot encode the key: {0}")]
    Encode(String),
}

/// Writes a new key pair as the Secret `jwt-keys` to `path`, readable by its owner only.
pub(crate) fn generate(path: &Path, replace: bool, chance: &Stream) -> Result<(), KeyError> {
    if path.exists() && !replace {
        return Err(KeyError::Exists(path.into()));
    }
    let manifest = secret(chance)?;
    private::write(path, manifest.as_bytes()).map_err(|error| KeyError::Write(path.into(), error))
}

fn secret(chance: &Stream) -> Result<String, KeyError> {
    let mut generator = chance.secure().map_err(|error| KeyError::Entropy(error.to_string()))?;
    let key = SecretKey::generate_from_rng(&mut generator);
    let private = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| KeyError::Encode(error.to_string()))?;
    let public = key.public_key().to_public_key_pem(LineEnding::LF);
    let public = public.map_err(|error| KeyError::Encode(error.to_string()))?;
    Ok(format!(
        "# The key pair of auth, made by `malha keygen`. Keep it out of git.\n\
         apiVersion: v1\n\
         kind: Secret\n\
         metadata:\n  name: jwt-keys\n  labels:\n    app: auth\n\
         type: Opaque\n\
         stringData:\n  private.pem: |\n{}  public.pem: |\n{}",
        indent(&private),
        indent(&public),
    ))
}

fn indent(pem: &str) -> String {
    pem.lines().map(|line| ["    ", line, "\n"].concat()).collect()
}

#[cfg(test)]
mod tests {
    use malha_manifest::{Object, parse_manifests};
    use malha_world::World;
    use p256::PublicKey;
    use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};

    use super::*;
    use std::fs;

    #[test]
    fn the_secret_is_a_valid_manifest_with_both_keys() {
        let world = World::simulated(0, 1);
        let loaded = parse_manifests("00-jwt.yml", &secret(&world.chance.stream()).unwrap());
        assert!(!loaded.has_errors());
        let Object::Secret(secret) = &loaded.objects[0].object else { panic!("{:?}", loaded.objects[0].id) };
        let data = secret.string_data.as_ref().unwrap();
        let private = SecretKey::from_pkcs8_pem(&data["private.pem"]).unwrap();
        let public = PublicKey::from_public_key_pem(&data["public.pem"]).unwrap();
        assert_eq!(private.public_key(), public);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_and_is_not_replaced_by_accident() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let chance = World::simulated(0, 1).chance.stream();
        generate(&path, false, &chance).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(generate(&path, false, &chance), Err(KeyError::Exists(_))));
        generate(&path, true, &chance).unwrap();
    }
}
