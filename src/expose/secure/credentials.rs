//! Users and tokens, and whether somebody is who they say they are.
//!
//! bcrypt is slow on purpose. So it runs on threads of its own, a few at once and with few waiting,
//! and what it found right is remembered: of each user the one password that was, as a keyed digest
//! that is compared in constant time. Wrong ones are not remembered. An unknown user costs as much as
//! a known one, so the time of an answer does not say which names there are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use ring::hmac;
use tokio::sync::Semaphore;

use super::SecureError;
use super::files::Files;
use crate::config::web::{Right, WebFile};

/// Passwords that are checked at once; each takes a core for some 60 ms at the usual cost of 10.
const CHECKS_AT_ONCE: usize = 2;
/// Requests that wait for a check, or are in one. More are asked to come back.
const CHECKS_WAITING: usize = 64;
/// A check of this cost takes some 4 s; a higher one would keep everybody out.
const COST_MAX: u32 = 16;
/// Longer ones are cut by bcrypt, and nobody types them.
const PASSWORD_MAX: usize = 1024;
/// A shorter token could be guessed.
const TOKEN_MIN: usize = 16;

/// Rights, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rights(u8);

impl Rights {
    fn of(rights: &[Right]) -> Self {
        Self(rights.iter().fold(0, |all, r| all | *r as u8))
    }

    pub(super) fn has(self, right: Right) -> bool {
        self.0 & right as u8 != 0
    }
}

/// Why somebody is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No credentials, or wrong ones.
    Unknown,
    /// Too many passwords are being checked.
    Busy,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) name: Arc<str>,
    pub(super) rights: Rights,
}

struct User {
    caller: Caller,
    hash: Arc<str>,
    /// Digest of the password that was right.
    right: Mutex<Option<hmac::Tag>>,
}

struct Token {
    caller: Caller,
    digest: hmac::Tag,
}

/// Everybody who is known.
pub(super) struct Credentials {
    /// Of this process alone, so that digests say nothing to anybody.
    key: hmac::Key,
    users: HashMap<String, User>,
    tokens: Vec<Token>,
    /// What unknown users are checked against.
    nobody: Arc<str>,
    checks: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Credentials {
    /// `None` if there are neither users nor tokens: then nobody is asked.
    pub(super) fn new(config: &WebFile, files: &mut Files) -> Result<Option<Self>, SecureError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &ring::rand::SystemRandom::new())
            .map_err(|_| SecureError::new(String::new(), "the system gives no random numbers"))?;
        let mut users = HashMap::new();
        let mut dearest: Option<(u32, Arc<str>)> = None;
        for (name, hash) in &config.basic_auth_users {
            let at = format!("basic_auth_users.{name}");
            let wrong = |what: &str| SecureError::new(at.clone(), what);
            if name.is_empty() || name.contains(':') {
                return Err(wrong("a user's name has at least one letter and no colon"));
            }
            let parts: bcrypt::HashParts = hash
                .reveal()
                .parse()
                .map_err(|_| wrong("is not a hash of bcrypt, as `htpasswd -nBC 10 NAME` writes"))?;
            if parts.get_cost() > COST_MAX {
                return Err(wrong(
                    "has a cost of more than 16: each check would take seconds",
                ));
            }
            let hash: Arc<str> = hash.reveal().into();
            if dearest.as_ref().is_none_or(|(c, _)| parts.get_cost() > *c) {
                dearest = Some((parts.get_cost(), Arc::clone(&hash)));
            }
            let user = User {
                caller: Caller {
                    name: name.as_str().into(),
                    rights: Rights::of(&Right::ALL),
                },
                hash,
                right: Mutex::new(None),
            };
            users.insert(name.clone(), user);
        }
        for (i, entry) in config.user_rights.iter().enumerate() {
            let at = format!("user_rights[{i}]");
            let Some(user) = users.get_mut(&entry.user) else {
                let what = format!("{:?} is not one of `basic_auth_users`", entry.user);
                return Err(SecureError::new(format!("{at}.user"), what));
            };
            if config.user_rights[..i].iter().any(|e| e.user == entry.user) {
                let what = format!("{:?} is there twice", entry.user);
                return Err(SecureError::new(format!("{at}.user"), what));
            }
            user.caller.rights = some(&at, &entry.rights)?;
        }
        let tokens = tokens(config, files, &key)?;
        if users.is_empty() && tokens.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            key,
            users,
            tokens,
            nobody: dearest.map_or_else(|| "".into(), |(_, hash)| hash),
            checks: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            waiting: Semaphore::new(CHECKS_WAITING),
        }))
    }

    /// What a client is told to come with.
    pub(super) fn challenges(&self) -> impl Iterator<Item = HeaderValue> {
        let basic = (!self.users.is_empty()).then_some(HeaderValue::from_static("Basic"));
        let bearer = (!self.tokens.is_empty()).then_some(HeaderValue::from_static("Bearer"));
        basic.into_iter().chain(bearer)
    }

    /// Who sent this `Authorization` header.
    pub(super) async fn caller(&self, header: Option<&HeaderValue>) -> Result<Caller, Refusal> {
        let header = header
            .and_then(|h| h.to_str().ok())
            .ok_or(Refusal::Unknown)?;
        let (scheme, rest) = header.split_once(' ').ok_or(Refusal::Unknown)?;
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.holder(rest).ok_or(Refusal::Unknown);
        }
        if !scheme.eq_ignore_ascii_case("basic") || self.users.is_empty() {
            return Err(Refusal::Unknown);
        }
        let pair = STANDARD.decode(rest).ok();
        let pair = pair.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = pair.ok_or(Refusal::Unknown)?;
        let (name, password) = pair.split_once(':').ok_or(Refusal::Unknown)?;
        if password.len() > PASSWORD_MAX {
            return Err(Refusal::Unknown);
        }
        self.user(name, password).await
    }

    fn holder(&self, token: &str) -> Option<Caller> {
        // All are looked at, whichever it is.
        let mut found = None;
        for known in &self.tokens {
            if hmac::verify(&self.key, token.as_bytes(), known.digest.as_ref()).is_ok() {
                found = Some(known.caller.clone());
            }
        }
        found
    }

    async fn user(&self, name: &str, password: &str) -> Result<Caller, Refusal> {
        let user = self.users.get(name);
        if let Some(user) = user.filter(|u| self.was_right(u, password)) {
            return Ok(user.caller.clone());
        }
        let _place = self.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
        let turn = Arc::clone(&self.checks).acquire_owned().await;
        let turn = turn.map_err(|_| Refusal::Busy)?;
        // Another request with the same password may have had its turn meanwhile.
        if let Some(user) = user.filter(|u| self.was_right(u, password)) {
            return Ok(user.caller.clone());
        }
        let hash = user.map_or(&self.nobody, |u| &u.hash);
        let (hash, given) = (Arc::clone(hash), password.to_owned());
        let checked = tokio::task::spawn_blocking(move || {
            // Held until the work is done, even if nobody waits for it any more.
            let _turn = turn;
            bcrypt::verify(given, &hash).unwrap_or(false)
        });
        match (user, checked.await) {
            (Some(user), Ok(true)) => {
                let digest = hmac::sign(&self.key, password.as_bytes());
                *user.right.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
                Ok(user.caller.clone())
            }
            _ => Err(Refusal::Unknown),
        }
    }

    fn was_right(&self, user: &User, password: &str) -> bool {
        let digest = *user.right.lock().unwrap_or_else(PoisonError::into_inner);
        digest.is_some_and(|d| hmac::verify(&self.key, password.as_bytes(), d.as_ref()).is_ok())
    }
}

fn tokens(config: &WebFile, files: &mut Files, key: &hmac::Key) -> Result<Vec<Token>, SecureError> {
    let mut tokens = Vec::new();
    for (i, entry) in config.bearer_tokens.iter().enumerate() {
        let at = format!("bearer_tokens[{i}]");
        let wrong = |key: &str, what: &str| SecureError::new(format!("{at}{key}"), what);
        if entry.name.is_empty() {
            return Err(wrong("", "has no `name`"));
        }
        let (text, named) = match (&entry.token, &entry.token_file) {
            (Some(token), None) => (token.reveal().to_owned(), ".token"),
            (None, Some(path)) => {
                let bytes = files.read(&format!("{at}.token_file"), path)?;
                let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                (text, ".token_file")
            }
            (Some(_), Some(_)) => {
                return Err(wrong(
                    ".token_file",
                    "stands beside `token`: give one of them",
                ));
            }
            (None, None) => return Err(wrong("", "has no `token` and no `token_file`")),
        };
        if text.len() < TOKEN_MIN {
            return Err(wrong(
                named,
                "has less than 16 characters: it could be guessed",
            ));
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(wrong(named, "has characters that a header cannot have"));
        }
        tokens.push(Token {
            caller: Caller {
                name: entry.name.as_str().into(),
                rights: some(&at, &entry.rights)?,
            },
            digest: hmac::sign(key, text.as_bytes()),
        });
    }
    Ok(tokens)
}

fn some(at: &str, rights: &[Right]) -> Result<Rights, SecureError> {
    if rights.is_empty() {
        let what = "has no `rights`: give some of `write`, `read`, `scrape`, `admin`";
        return Err(SecureError::new(at.to_owned(), what));
    }
    Ok(Rights::of(rights))
}
