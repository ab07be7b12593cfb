//! `fermyon:spin/key-value@2.0.0`, which is `spin_sdk::key_value`.

use wasmtime::component::{HasSelf, Linker, Resource};

use super::Guest;
use crate::guest::OutOfCpuTime;
use crate::storage::{DEFAULT, Failure, HANDLES, Keys, RESULT};

wasmtime::component::bindgen!({
    inline: "
        package fermyon:spin@2.0.0;

        interface key-value {
            resource store {
                open: static func(label: string) -> result<store, error>;
                get: func(key: string) -> result<option<list<u8>>, error>;
                set: func(key: string, value: list<u8>) -> result<_, error>;
                delete: func(key: string) -> result<_, error>;
                exists: func(key: string) -> result<bool, error>;
                get-keys: func() -> result<list<string>, error>;
            }
            variant error { store-table-full, no-such-store, access-denied, other(string) }
        }

        world key-value-host {
            import key-value;
        }
    ",
    world: "key-value-host",
    imports: { default: async | trappable },
    with: { "fermyon:spin/key-value.store": crate::storage::Keys },
});

use self::fermyon::spin::key_value::{self, Error, Host, HostStore};

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    key_value::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

/// A store as a guest holds it.
type Handle = Resource<Keys>;

impl Host for Guest {}

impl HostStore for Guest {
    async fn open(&mut self, label: String) -> wasmtime::Result<Result<Handle, Error>> {
        if !self.component.key_value_stores.contains(&label) {
            return Ok(Err(Error::AccessDenied));
        }
        // A pod whose component lists another does not start.
        if label != DEFAULT {
            return Ok(Err(Error::NoSuchStore));
        }
        if self.stores == HANDLES {
            return Ok(Err(Error::StoreTableFull));
        }
        let opened = Keys::open(&self.pod.storage, &label, &self.allowance()).await;
        let keys = match refuse(opened)? {
            Ok(keys) => keys,
            Err(error) => return Ok(Err(error)),
        };
        let handle = self.table.push(keys)?;
        self.stores += 1;
        Ok(Ok(handle))
    }

    async fn get(&mut self, store: Handle, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        let allowance = self.allowance();
        refuse(self.table.get_mut(&store)?.get(key, &allowance).await)
    }

    async fn set(&mut self, store: Handle, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), Error>> {
        let allowance = self.allowance();
        refuse(self.table.get_mut(&store)?.set(key, value, &allowance).await)
    }

    async fn delete(&mut self, store: Handle, key: String) -> wasmtime::Result<Result<(), Error>> {
        let allowance = self.allowance();
        refuse(self.table.get_mut(&store)?.delete(key, &allowance).await)
    }

    async fn exists(&mut self, store: Handle, key: String) -> wasmtime::Result<Result<bool, Error>> {
        let allowance = self.allowance();
        refuse(self.table.get_mut(&store)?.exists(key, &allowance).await)
    }

    async fn get_keys(&mut self, store: Handle) -> wasmtime::Result<Result<Vec<String>, Error>> {
        let allowance = self.allowance();
        refuse(self.table.get_mut(&store)?.list(&allowance).await)
    }

    async fn drop(&mut self, store: Handle) -> wasmtime::Result<()> {
        self.table.delete(store)?;
        self.stores -= 1;
        Ok(())
    }
}

/// As Spin says it (`log_error`, crates/factor-key-value/src/host.rs): the error as programmers see it. A guest that has
/// used up its time on the CPU is stopped.
fn refuse<T>(result: Result<T, Failure>) -> wasmtime::Result<Result<T, Error>> {
    Ok(Err(Error::Other(match result {
        Ok(value) => return Ok(Ok(value)),
        Err(Failure::OutOfCpuTime) => return Err(OutOfCpuTime.into()),
        Err(Failure::Sqlite(error)) => format!("{error:?}"),
        Err(Failure::TooLarge(_) | Failure::NoText | Failure::TooManyConnections) => {
            format!("query result exceeds limit of {RESULT} bytes")
        }
    })))
}
