//! Names, hashes and uids in the form that Kubernetes gives them.

use rand::{Rng, RngExt};

/// Letters and digits without vowels and look-alikes, so that no name is a word
/// (apimachinery `util/rand`, `alphanums`).
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Characters that `generateName` adds (apiserver `storage/names`, `randomLength`).
const SUFFIX: usize = 5;

/// Longest part of `generateName` that is kept, so that the name stays a DNS label (`maxGeneratedNameLength`).
const LONGEST_BASE: usize = 63 - SUFFIX;

/// A name for `generateName: base`.
pub(crate) fn generate(base: &str, chance: &mut impl Rng) -> String {
    let kept = base.char_indices().nth(LONGEST_BASE).map_or(base, |(end, _)| &base[..end]);
    let mut name = String::with_capacity(kept.len() + SUFFIX);
    name.push_str(kept);
    name.extend((0..SUFFIX).map(|_| char::from(ALPHABET[chance.random_range(0..ALPHABET.len())])));
    name
}

/// `pod-template-hash`: FNV-1a of 32 bits, its decimal digits spelt in the safe alphabet
/// (`pkg/controller/controller_utils.go`, `ComputeHash`).
///
/// The form is Kubernetes', the value is not: Kubernetes hashes how Go prints the template, malha its JSON.
pub(crate) fn template_hash(template: &[u8], collisions: u32) -> String {
    let fnv = |hash: u32, byte: &u8| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
    let mut hash = template.iter().fold(0x811c_9dc5, fnv);
    if collisions > 0 {
        hash = collisions.to_le_bytes().iter().fold(hash, fnv);
    }
    hash.to_string().bytes().map(|digit| char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])).collect()
}

/// A random UUID (RFC 9562, version 4).
pub(crate) fn uid(chance: &mut impl Rng) -> String {
    let random = u128::from(chance.next_u64()) << 64 | u128::from(chance.next_u64());
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

#[cfg(test)]
mod tests {
    use malha_world::Chance;

    use super::*;

    #[test]
    fn a_generated_name_is_short_safe_and_follows_from_the_seed() {
        let draw = |seed| generate("posts-", &mut Chance::seeded(seed).stream());
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let name = draw(3);
        assert!(name.len() == 11 && name[6..].bytes().all(|b| ALPHABET.contains(&b)), "{name}");
        assert_eq!(generate(&"x".repeat(300), &mut Chance::seeded(1).stream()).len(), 63);
    }

    #[test]
    fn a_hash_depends_on_the_template_and_on_collisions() {
        let hash = template_hash(b"template", 0);
        assert!(hash.len() <= 10 && hash.bytes().all(|b| ALPHABET.contains(&b)), "{hash}");
        assert_ne!(hash, template_hash(b"template", 1));
        assert_ne!(hash, template_hash(b"templates", 0));
    }

    #[test]
    fn a_uid_is_a_random_uuid() {
        let uid = uid(&mut Chance::seeded(1).stream());
        assert_eq!((uid.len(), &uid[14..15]), (36, "4"), "{uid}");
        assert!("89ab".contains(&uid[19..20]), "{uid}");
    }
}
