//! `fermyon:spin/variables@2.0.0`: the values that the pod resolved when it started.

use wasmtime::component::{HasSelf, Linker};

use super::Guest;

wasmtime::component::bindgen!({
    inline: "
        package fermyon:spin@2.0.0;

        interface variables {
            variant error {
                invalid-name(string),
                undefined(string),
                provider(string),
                other(string),
            }

            get: func(name: string) -> result<string, error>;
        }

        world variables-host {
            import variables;
        }
    ",
    world: "variables-host",
});

use self::fermyon::spin::variables::{self, Error};

pub(super) fn add_to_linker(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    variables::add_to_linker::<_, HasSelf<Guest>>(linker, |guest| guest)
}

impl variables::Host for Guest {
    fn get(&mut self, name: String) -> Result<String, Error> {
        if !is_name(&name) {
            return Err(Error::InvalidName(format!(
                "`{name}`: a variable's name begins with a lower-case letter and has lower-case letters, digits and \
                 single underscores"
            )));
        }
        match self.component.variables.get(&name) {
            Some(value) => Ok(value.clone()),
            None => Err(Error::Undefined(format!("no variable `{name}` for component `{}`", self.component.name))),
        }
    }
}

/// Spin's rule for names of variables.
fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('_')
        && !name.contains("__")
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_follow_spin() {
        assert!(is_name("jwt_public_key") && is_name("a1"));
        for wrong in ["", "A", "1a", "_a", "a_", "a__b", "a-b"] {
            assert!(!is_name(wrong), "{wrong}");
        }
    }
}
