//! Users: `htpasswd` lines, and beside them what each may read.

use std::collections::BTreeMap;

/// The users of the workshop.
#[derive(Debug)]
pub(crate) struct Users {
    hashes: BTreeMap<String, String>,
    scopes: BTreeMap<String, Vec<String>>,
}

/// Why the configuration cannot be used. It names the place, and never a hash.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UsersError {
    #[error("auth_users is not set: nobody can log in")]
    None,
    #[error("auth_users, line {0}: `htpasswd -B` writes `name:$2y$…`, this is something else")]
    Line(usize),
    #[error("auth_users, line {0}: the user is there twice")]
    Twice(usize),
    #[error("auth_scopes, entry {0}: it should be `name:scope,scope`")]
    Scopes(usize),
}

impl Users {
    /// Reads `auth_users`, lines of `htpasswd -B`, and `auth_scopes`, entries `name:scope,scope` that newlines or
    /// semicolons part. Blank lines and lines with `#` are skipped; a user without an entry has no scopes.
    pub(crate) fn parse(users: &str, scopes: &str) -> Result<Self, UsersError> {
        let mut found = Self { hashes: BTreeMap::new(), scopes: BTreeMap::new() };
        for (number, line) in entries(users, &['\n']) {
            let (name, hash) = line.split_once(':').ok_or(UsersError::Line(number))?;
            hash.parse::<bcrypt::HashParts>().map_err(|_| UsersError::Line(number))?;
            if name.is_empty() {
                return Err(UsersError::Line(number));
            }
            if found.hashes.insert(name.to_owned(), hash.to_owned()).is_some() {
                return Err(UsersError::Twice(number));
            }
        }
        if found.hashes.is_empty() {
            return Err(UsersError::None);
        }
        for (number, entry) in entries(scopes, &['\n', ';']) {
            let (name, list) = entry.split_once(':').ok_or(UsersError::Scopes(number))?;
            let list: Vec<String> = list.split(',').map(|scope| scope.trim().to_owned()).collect();
            let known = found.hashes.contains_key(name.trim());
            if !known || list.iter().any(|scope| !is_scope(scope)) {
                return Err(UsersError::Scopes(number));
            }
            found.scopes.entry(name.trim().to_owned()).or_default().extend(list);
        }
        Ok(found)
    }

    /// The scopes of a user who knows the password.
    ///
    /// A name that nobody has takes as long as one that somebody has: its password is compared with another user's, and
    /// then refused whatever comes out.
    pub(crate) fn log_in(&self, name: &str, password: &str) -> Option<&[String]> {
        let known = self.hashes.get(name);
        let hash = known.or_else(|| self.hashes.values().next())?;
        // bcrypt would read 72 bytes and ignore the rest; a password that it cannot read whole is not a match.
        let matches = bcrypt::non_truncating_verify(password, hash).unwrap_or(false);
        (matches && known.is_some()).then(|| self.scopes.get(name).map_or(&[][..], Vec::as_slice))
    }
}

/// The entries that say something, numbered from 1.
fn entries<'a>(text: &'a str, separators: &'a [char]) -> impl Iterator<Item = (usize, &'a str)> {
    text.split(separators)
        .enumerate()
        .map(|(index, entry)| (index + 1, entry.trim()))
        .filter(|(_, entry)| !entry.is_empty() && !entry.starts_with('#'))
}

/// `scope-token` of RFC 6749 section 3.3.
fn is_scope(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5B | 0x5D..=0x7E))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{SCOPES, USERS};

    #[test]
    fn a_user_who_knows_the_password_gets_the_scopes() {
        let users = Users::parse(USERS, SCOPES).unwrap();
        assert_eq!(users.log_in("admin", "admin").unwrap(), ["posts", "comments"]);
        assert_eq!(users.log_in("nocomments", "nocomments").unwrap(), ["posts"]);
    }

    #[test]
    fn nobody_else_gets_in() {
        let users = Users::parse(USERS, SCOPES).unwrap();
        let long = "a".repeat(100);
        for (name, password) in [
            ("admin", "Admin"),
            ("admin", ""),
            ("admin", "nocomments"),
            ("nobody", "admin"),
            ("", ""),
            ("admin", &long),
        ] {
            assert_eq!(users.log_in(name, password), None, "{name} {password}");
        }
    }

    #[test]
    fn a_user_without_an_entry_has_no_scopes() {
        let users = Users::parse(USERS, "# nothing\n\n").unwrap();
        assert!(users.log_in("admin", "admin").unwrap().is_empty());
    }

    #[test]
    fn mistakes_are_named_by_their_place() {
        let admin = USERS.lines().next().unwrap();
        for (users, scopes, error) in [
            ("", "", UsersError::None),
            ("# only a comment\n", "", UsersError::None),
            ("admin:admin", "", UsersError::Line(1)),
            ("\nadmin:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=", "", UsersError::Line(2)),
            (&format!(":{}", admin.split_once(':').unwrap().1), "", UsersError::Line(1)),
            (&format!("{admin}\n{admin}"), "", UsersError::Twice(2)),
            (USERS, "admin", UsersError::Scopes(1)),
            (USERS, "admin:posts;nobody:posts", UsersError::Scopes(2)),
            (USERS, "admin:posts,,comments", UsersError::Scopes(1)),
            (USERS, "admin:po sts", UsersError::Scopes(1)),
        ] {
            assert_eq!(Users::parse(users, scopes).unwrap_err(), error);
        }
    }
}
