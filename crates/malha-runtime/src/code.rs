//! Machine code: compiled ahead of time, kept on disk, mapped into memory when it is needed.
//!
//! A component is compiled once; its code is stored under the hash of its bytes and of everything in wasmtime and its
//! configuration that the code depends on. Loading maps the file, so that pods, and runs, share the pages.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use wasmtime::component::{Component, types::ComponentItem};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::disk::write_whole;
use crate::engine::Engine;
use crate::host::Guest;

/// A component, ready to be instantiated. A handle: clones share the code.
#[derive(Clone)]
pub struct Code {
    pub(crate) proxy: ProxyPre<Guest>,
}

/// Why a component cannot run.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// The file cannot be read.
    #[error("cannot read the component {path}: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The bytes are no component that wasmtime can compile.
    #[error("{path} is not a WebAssembly component: {what}\n  hint: {hint}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What wasmtime said, or how the file begins.
        what: String,
        /// What to do.
        hint: &'static str,
    },
    /// The component wants what malha does not offer.
    #[error(
        "{path} imports {import}, which malha does not offer ({reason:#})\n  hint: malha offers wasi:cli, wasi:clocks, \
         wasi:filesystem, wasi:http, wasi:io, wasi:random and wasi:sockets of WASI 0.2, and \
         fermyon:spin/variables@2.0.0"
    )]
    Import {
        /// The file.
        path: PathBuf,
        /// The interface, as the component names it.
        import: String,
        /// What wasmtime said.
        reason: wasmtime::Error,
    },
    /// The component answers no HTTP request.
    #[error(
        "{path} exports no wasi:http/incoming-handler@0.2, so that it cannot answer a request\n  hint: it exports \
         {exports}; build it with spin-sdk 5 for the target wasm32-wasip2"
    )]
    NoHandler {
        /// The file.
        path: PathBuf,
        /// What it exports instead.
        exports: String,
    },
    /// The cache cannot be written.
    #[error("cannot write compiled code to {path}: {error}")]
    Cache {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

impl Engine {
    /// Loads a component, compiling it unless its code is in the cache. Compiling takes the processor for up to
    /// seconds: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`CodeError`], which names the file.
    pub fn load(&self, path: &Path) -> Result<Code, CodeError> {
        let bytes = fs::read(path).map_err(|error| CodeError::Read { path: path.into(), error })?;
        let component = match &self.shared.options.cache {
            Some(cache) => self.load_cached(cache, path, &bytes)?,
            None => Component::new(self.wasmtime(), &bytes).map_err(|error| invalid(path, &bytes, &error))?,
        };
        self.link(path, &component)
    }

    /// Whether [`Engine::load`] would find the code of this component in the cache.
    pub fn is_compiled(&self, path: &Path) -> bool {
        let cached = |cache: &PathBuf| Some(self.cached_path(cache, &fs::read(path).ok()?).exists());
        self.shared.options.cache.as_ref().and_then(cached).unwrap_or_default()
    }

    fn cached_path(&self, cache: &Path, bytes: &[u8]) -> PathBuf {
        let mut compatibility = DefaultHasher::new();
        self.wasmtime().precompile_compatibility_hash().hash(&mut compatibility);
        let content = blake3::hash(bytes).to_hex();
        cache.join(format!("{}-{:016x}.cwasm", &content[..32], compatibility.finish()))
    }

    fn load_cached(&self, cache: &Path, path: &Path, bytes: &[u8]) -> Result<Component, CodeError> {
        let cached = self.cached_path(cache, bytes);
        if let Some(component) = self.map(&cached) {
            return Ok(component);
        }
        let code = self.wasmtime().precompile_component(bytes).map_err(|error| invalid(path, bytes, &error))?;
        create_private(cache)
            .and_then(|()| write_whole(&cached, &code))
            .map_err(|error| CodeError::Cache { path: cached.clone(), error })?;
        match self.map(&cached) {
            Some(component) => Ok(component),
            // Somebody emptied the cache under our feet.
            None => Component::new(self.wasmtime(), bytes).map_err(|error| invalid(path, bytes, &error)),
        }
    }

    /// Maps compiled code. `None` when there is none, or none that this wasmtime takes.
    #[expect(unsafe_code, reason = "wasmtime cannot check machine code; see SAFETY")]
    fn map(&self, cached: &Path) -> Option<Component> {
        if !cached.exists() {
            return None;
        }
        // SAFETY: the file must hold what `precompile_component` gave, unchanged while it is mapped. Only this module
        // writes below the cache, whole files under names that follow from their content, in a folder of mode 0700.
        // Whoever can change them as this user can change this program as well.
        unsafe { Component::deserialize_file(self.wasmtime(), cached) }.ok()
    }

    fn link(&self, path: &Path, component: &Component) -> Result<Code, CodeError> {
        let instance = self.shared.linker.instantiate_pre(component).map_err(|reason| {
            let names = component.component_type();
            let is_missing = |name: &str| format!("{reason:#}").contains(&format!("`{name}`"));
            let import = names.imports(self.wasmtime()).map(|(name, _)| name.to_owned()).find(|name| is_missing(name));
            CodeError::Import { path: path.into(), import: import.unwrap_or_else(|| "something".into()), reason }
        })?;
        let proxy = ProxyPre::new(instance).map_err(|_| {
            let exports = component.component_type();
            let instances = exports.exports(self.wasmtime()).map(|(name, item)| match item.ty {
                ComponentItem::ComponentFunc(_) => format!("function {name}"),
                _ => name.to_owned(),
            });
            let exports = instances.collect::<Vec<_>>().join(", ");
            CodeError::NoHandler {
                path: path.into(),
                exports: if exports.is_empty() { "nothing".into() } else { exports },
            }
        })?;
        Ok(Code { proxy })
    }
}

fn invalid(path: &Path, bytes: &[u8], error: &wasmtime::Error) -> CodeError {
    let said = || format!("{error:#}");
    let (what, hint) = if bytes.starts_with(b"\0asm\x01\0\0\0") {
        (said(), "it is a core module; build for the target wasm32-wasip2, which makes components")
    } else if bytes.starts_with(b"\0asm") {
        (said(), "it may be made for another WASI than 0.2, which malha runs; build it with spin-sdk 5")
    } else {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(8)]).into_owned();
        (format!("it begins with {start:?}"), "look at `source` of the component in spin.toml")
    };
    CodeError::Invalid { path: path.into(), what, hint }
}

#[cfg(unix)]
fn create_private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // It may have been there already.
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)
}
