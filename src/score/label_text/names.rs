//! How a name is written for a reader that knows only identifiers.
//!
//! The schemes and their names are those of the `escaping` parameter of exposition formats. A name
//! that is an identifier stays as it is in every scheme.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::series::labels::is_plain_label_name;

/// How names that are no identifiers are shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// Each other character becomes `_`.
    #[default]
    Underscores,
    /// `.` becomes `_dot_`, `_` becomes `__`, and so does each other character.
    Dots,
    /// `U__` in front, `_` becomes `__`, each other character its code point as in `_2e_`: can be
    /// undone.
    Values,
    /// As they are, in quotes.
    Utf8,
}

impl Names {
    const ALL: [Self; 4] = [Self::Underscores, Self::Dots, Self::Values, Self::Utf8];

    /// As in `escaping=...`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
            Self::Utf8 => "allow-utf-8",
        }
    }

    /// What `escaping=...` asks for; `None` if it is unknown.
    pub fn parse(text: &str) -> Option<Self> {
        let known = |n: &Self| n.as_str().eq_ignore_ascii_case(text);
        Self::ALL.into_iter().find(known)
    }

    /// The name as this scheme writes it.
    pub fn escape(self, name: &str) -> Cow<'_, str> {
        if self == Self::Utf8 || is_plain_label_name(name) {
            return Cow::Borrowed(name);
        }
        let mut out = String::with_capacity(name.len() + 16);
        if self == Self::Values {
            out.push_str("U__");
        }
        for (i, c) in name.chars().enumerate() {
            let fits = c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit());
            match (self, c) {
                (Self::Underscores, '_') => out.push('_'),
                (_, '_') => out.push_str("__"),
                (_, c) if fits => out.push(c),
                (Self::Underscores, _) => out.push('_'),
                (Self::Dots, '.') => out.push_str("_dot_"),
                (Self::Values, c) => {
                    let _ = write!(out, "_{:x}_", c as u32);
                }
                _ => out.push_str("__"),
            }
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_as_other_exporters_write_it() {
        for (name, underscores, dots, values) in [
            ("job", "job", "job", "job"),
            ("a_b", "a_b", "a_b", "a_b"),
            ("a.b", "a_b", "a_dot_b", "U__a_2e_b"),
            (
                "http.status_code",
                "http_status_code",
                "http_dot_status__code",
                "U__http_2e_status__code",
            ),
            ("1st", "_st", "__st", "U___31_st"),
            ("a1 b", "a1_b", "a1__b", "U__a1_20_b"),
            ("a:b", "a_b", "a__b", "U__a_3a_b"),
            ("gr\u{f6}\u{df}e", "gr__e", "gr____e", "U__gr_f6__df_e"),
            ("\u{1f600}", "_", "__", "U___1f600_"),
        ] {
            assert_eq!(Names::Underscores.escape(name), underscores);
            assert_eq!(Names::Dots.escape(name), dots);
            assert_eq!(Names::Values.escape(name), values);
            assert_eq!(Names::Utf8.escape(name), name);
        }
    }

    #[test]
    fn the_parameter_is_read_back() {
        for names in Names::ALL {
            assert_eq!(Names::parse(names.as_str()), Some(names));
        }
        assert_eq!(Names::parse("Allow-UTF-8"), Some(Names::Utf8));
        assert_eq!(Names::parse("rot13"), None);
    }
}
