//! `wasi:random`: secrets from the world's secure source, the rest from the request's own stream.

use rand::Rng;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};

use super::Guest;

/// The most bytes of one call.
const LIMIT: u64 = 1 << 20;

fn fill(generator: &mut impl Rng, length: u64) -> wasmtime::Result<Vec<u8>> {
    wasmtime::ensure!(length <= LIMIT, "{length} random bytes asked for at once; the limit is {LIMIT}");
    let mut bytes = vec![0; usize::try_from(length)?];
    generator.fill_bytes(&mut bytes);
    Ok(bytes)
}

impl random::Host for Guest {
    fn get_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        fill(self.secure()?, length)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.secure()?.next_u64())
    }
}

impl Guest {
    fn secure(&mut self) -> wasmtime::Result<&mut rand::rngs::StdRng> {
        match &mut self.secret {
            Some(generator) => Ok(generator),
            empty => Ok(empty.insert(Box::new(self.chance.secure()?))),
        }
    }
}

impl insecure::Host for Guest {
    fn get_insecure_random_bytes(&mut self, length: u64) -> wasmtime::Result<Vec<u8>> {
        fill(&mut self.chance, length)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.chance.next_u64())
    }
}

impl insecure_seed::Host for Guest {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.chance.next_u64(), self.chance.next_u64()))
    }
}
