//! Series selectors as in PromQL: `node_load1{job=~"node|demo", env!=""}`.
//!
//! Rules in the configuration and `match[]` in URLs use the one syntax that a reader knows. Names
//! that are no identifiers are quoted, as Prometheus 3 has it: `{"my.metric", "a.b"="v"}`.
//!
//! Unlike in PromQL, a selector may match everything: `{}` is how a rule says "all series".

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use regex::Regex;

use super::labels;
use super::re2;

/// Bytes of one selector. A list of several hundred instances fits.
const SELECTOR_BYTES_MAX: usize = 16 << 10;
/// Matchers of one selector; a series has about ten labels.
const MATCHERS_MAX: usize = 64;

/// Why a selector could not be read.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("selector {selector}: {what} at character {at}")]
pub struct SelectorError {
    pub selector: String,
    pub what: String,
    /// Counted from 1.
    pub at: usize,
}

/// How a label is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MatchOp {
    Equal,
    NotEqual,
    Regex,
    NotRegex,
}

impl MatchOp {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One comparison of a label with a value or a regular expression.
#[derive(Debug, Clone)]
pub struct Matcher {
    name: Box<str>,
    op: MatchOp,
    value: Box<str>,
    /// Compiled `value`, for the two regex operators only.
    regex: Option<Regex>,
    absent: Absent,
}

/// What a series without the label is compared as.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Absent {
    /// As if its label had this value.
    Value(Box<str>),
    Satisfied,
}

impl Matcher {
    /// A matcher of a label; `value` is a regular expression if `op` says so.
    ///
    /// # Errors
    /// What is wrong with the regular expression, in one line.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, String> {
        Self::within(name, op, value, &mut Self::COMPILED_BYTES_MAX.clone())
    }

    /// Memory of one compiled regular expression.
    pub const COMPILED_BYTES_MAX: usize = re2::COMPILED_BYTES_MAX;

    /// The same, for one of several that a stranger sent: what its regular expression needs when
    /// compiled, in bytes, is taken off `left`. What comparing with it costs goes along with that.
    ///
    /// # Errors
    /// As there, and if there is not enough left.
    pub fn within(name: &str, op: MatchOp, value: &str, left: &mut usize) -> Result<Self, String> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(re2::anchored(value, left)?),
        };
        Ok(Self {
            name: name.into(),
            op,
            value: value.into(),
            regex,
            absent: Absent::Value(Box::default()),
        })
    }

    /// The same, but a series without the label is taken as if it had this value.
    #[must_use]
    pub fn taking_absent_as(mut self, value: &str) -> Self {
        self.absent = Absent::Value(value.into());
        self
    }

    /// The same, but it holds for every series without the label.
    #[must_use]
    pub fn holding_if_absent(mut self) -> Self {
        self.absent = Absent::Satisfied;
        self
    }

    /// The same of another label.
    #[must_use]
    pub fn of_label(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The value, or the regular expression as it was written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// True if this holds for what a series has as this label. A missing one is the empty text, unless
    /// the matcher says otherwise.
    fn holds(&self, label: Option<&str>) -> bool {
        match (label, &self.absent) {
            (Some(value), _) => self.matches(value),
            (None, Absent::Value(value)) => self.matches(value),
            (None, Absent::Satisfied) => true,
        }
    }

    /// True if this holds for the label's value; a missing label has the empty one.
    pub fn matches(&self, value: &str) -> bool {
        match &self.regex {
            None => (*self.value == *value) == (self.op == MatchOp::Equal),
            Some(regex) => regex.is_match(value) == (self.op == MatchOp::Regex),
        }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value, &self.absent)
            == (&other.name, other.op, &other.value, &other.absent)
    }
}

impl Eq for Matcher {}

/// A parsed selector, for example `node_load1{job=~"node|demo", env!=""}`.
///
/// Printed, it is a selector again, and an equal one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selector {
    matchers: Vec<Matcher>,
}

impl Selector {
    /// Reads one selector.
    ///
    /// # Errors
    /// What is wrong, and at which character.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        Self::parse_within(text, &mut Self::PATTERNS_BYTES_MAX.clone())
    }

    /// Memory of all regular expressions of one question, compiled: four of the longest that there
    /// can be, which are lists of several hundred names.
    pub const PATTERNS_BYTES_MAX: usize = 4 * Matcher::COMPILED_BYTES_MAX;

    /// Reads one of several selectors that a stranger sent: what its regular expressions need is taken
    /// off `left`, see [`Matcher::within`].
    ///
    /// # Errors
    /// As there, and if there is not enough left.
    pub fn parse_within(text: &str, left: &mut usize) -> Result<Self, SelectorError> {
        Parser { text, at: 0, left }
            .selector()
            .map_err(|(what, at)| SelectorError {
                selector: text.chars().take(200).collect(),
                what,
                at: text[..at].chars().count() + 1,
            })
    }

    /// True if a regular expression is part of it: comparing takes long, as such things go.
    pub fn has_regex(&self) -> bool {
        self.matchers.iter().any(|m| m.regex.is_some())
    }

    /// True if all matchers hold; a missing label equals the empty string. `label` looks one up.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.matchers.iter().all(|m| m.holds(label(&m.name)))
    }

    /// True if canonical label bytes match.
    pub fn matches_labels(&self, labels: &[u8]) -> bool {
        self.matches(|name| labels::get(labels, name))
    }

    /// All matchers in the order in which they were written; a metric name in front of the braces
    /// is one for `__name__`.
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// The only metric name that can match, if there is just one.
    pub fn metric_name(&self) -> Option<&str> {
        self.matchers
            .iter()
            .find(|m| *m.name == *labels::METRIC_NAME && m.op == MatchOp::Equal)
            .map(Matcher::value)
    }
}

impl From<Vec<Matcher>> for Selector {
    /// All of these must hold.
    fn from(matchers: Vec<Matcher>) -> Self {
        Self { matchers }
    }
}

impl FromStr for Selector {
    type Err = SelectorError;
    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut matchers = &self.matchers[..];
        let mut inner = String::new();
        if let [first, rest @ ..] = matchers
            && *first.name == *labels::METRIC_NAME
            && first.op == MatchOp::Equal
            && !first.value.is_empty()
            && rest.iter().all(|m| *m.name != *labels::METRIC_NAME)
        {
            matchers = rest;
            if labels::is_plain_metric_name(&first.value) {
                f.write_str(&first.value)?;
                if rest.is_empty() {
                    return Ok(());
                }
            } else {
                labels::push_quoted(&mut inner, &first.value);
            }
        }
        for matcher in matchers {
            if !inner.is_empty() {
                inner.push_str(", ");
            }
            labels::push_label_name(&mut inner, &matcher.name);
            inner.push_str(matcher.op.as_str());
            labels::push_quoted(&mut inner, &matcher.value);
        }
        write!(f, "{{{inner}}}")
    }
}

/// What is wrong, and at which byte.
type Wrong = (String, usize);

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// What regular expressions may still need.
    left: &'a mut usize,
}

impl Parser<'_> {
    fn selector(mut self) -> Result<Selector, Wrong> {
        if self.text.len() > SELECTOR_BYTES_MAX {
            return Err((format!("more than {SELECTOR_BYTES_MAX} bytes"), 0));
        }
        let mut matchers = Vec::new();
        self.space();
        let name = self.identifier(labels::is_plain_metric_name);
        if let Some(name) = &name {
            matchers.push(equal_name(name));
        }
        self.space();
        if self.eat("{") {
            self.matchers(&mut matchers, name.is_some())?;
            self.space();
        } else if name.is_none() {
            return self.expected("a metric name or {");
        }
        if self.at < self.text.len() {
            return self.expected("the end");
        }
        Ok(Selector { matchers })
    }

    /// What is between the braces, and the closing one.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>, mut named: bool) -> Result<(), Wrong> {
        let prefixed = named;
        loop {
            self.space();
            if self.eat("}") {
                return Ok(());
            }
            let start = self.at;
            if matchers.len() >= MATCHERS_MAX {
                return Err((format!("more than {MATCHERS_MAX} matchers"), start));
            }
            let (label, quoted) = match self.identifier(labels::is_plain_label_name) {
                Some(label) => (label, false),
                None => match self.string()? {
                    Some(label) => (label, true),
                    None => return self.expected("a label name or }"),
                },
            };
            self.space();
            if quoted && (self.looking_at(",") || self.looking_at("}")) {
                if std::mem::replace(&mut named, true) {
                    return Err(("second metric name".into(), start));
                }
                matchers.insert(0, equal_name(&label));
            } else {
                if prefixed && label == labels::METRIC_NAME {
                    return Err(("second metric name".into(), start));
                }
                matchers.push(self.comparison(&label)?);
            }
            self.space();
            if !self.eat(",") && !self.looking_at("}") {
                return self.expected("a comma or }");
            }
        }
    }

    /// What follows a label name: the operator and the value.
    fn comparison(&mut self, label: &str) -> Result<Matcher, Wrong> {
        let ops = [
            MatchOp::Regex,
            MatchOp::NotRegex,
            MatchOp::NotEqual,
            MatchOp::Equal,
        ];
        let Some(op) = ops.into_iter().find(|op| self.eat(op.as_str())) else {
            return self.expected("=, !=, =~ or !~");
        };
        self.space();
        let start = self.at;
        let Some(value) = self.string()? else {
            return self.expected("a quoted value");
        };
        Matcher::within(label, op, &value, self.left).map_err(|what| (what, start))
    }

    /// An identifier; its characters are those for which a name of them alone would be `plain`.
    fn identifier(&mut self, plain: impl Fn(&str) -> bool) -> Option<String> {
        let rest = &self.text[self.at..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
            .unwrap_or(rest.len());
        if !plain(&rest[..end]) {
            return None;
        }
        self.at += end;
        Some(rest[..end].to_owned())
    }

    /// A string in double or single quotes, with Go's escapes, or in backticks, as it is.
    fn string(&mut self) -> Result<Option<String>, Wrong> {
        let start = self.at;
        let Some(quote @ ('"' | '\'' | '`')) = self.peek() else {
            return Ok(None);
        };
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                Some(c) if c == quote => {
                    self.at += 1;
                    break;
                }
                None => return Err(("string without an end".into(), start)),
                Some('\n') if quote != '`' => {
                    return Err(("line break in a string".into(), self.at));
                }
                Some('\\') if quote != '`' => self.escape(quote, &mut bytes)?,
                Some(c) => {
                    self.at += c.len_utf8();
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| ("string that is not utf-8".into(), start))
    }

    /// One escape sequence as in Go; `\x` and octal ones are bytes, `\u` and `\U` characters.
    fn escape(&mut self, quote: char, out: &mut Vec<u8>) -> Result<(), Wrong> {
        let start = self.at;
        let bad = || ("unknown escape sequence".to_owned(), start);
        self.at += 1;
        let c = self.peek().ok_or_else(bad)?;
        let (digits, radix) = match c {
            'x' => (2, 16),
            'u' => (4, 16),
            'U' => (8, 16),
            '0'..='7' => (3, 8),
            _ => (0, 0),
        };
        if digits == 0 {
            out.push(match c {
                'a' => 0x07,
                'b' => 0x08,
                'f' => 0x0c,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 0x0b,
                '\\' => b'\\',
                c if c == quote => c as u8,
                _ => return Err(bad()),
            });
            self.at += 1;
            return Ok(());
        }
        if radix == 16 {
            self.at += 1;
        }
        let text = self.text.get(self.at..self.at + digits).ok_or_else(bad)?;
        if !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(bad());
        }
        let number = u32::from_str_radix(text, radix).map_err(|_| bad())?;
        self.at += digits;
        if matches!(c, 'u' | 'U') {
            let c = char::from_u32(number).ok_or_else(bad)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            out.push(u8::try_from(number).map_err(|_| bad())?);
        }
        Ok(())
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn looking_at(&self, token: &str) -> bool {
        self.text[self.at..].starts_with(token)
    }

    fn eat(&mut self, token: &str) -> bool {
        let found = self.looking_at(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn space(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn expected<T>(&self, wanted: &str) -> Result<T, Wrong> {
        let found = match self.peek() {
            Some(c) => format!("{c:?}"),
            None => "the end".into(),
        };
        Err((format!("expected {wanted}, found {found}"), self.at))
    }
}

fn equal_name(name: &str) -> Matcher {
    Matcher {
        name: labels::METRIC_NAME.into(),
        op: MatchOp::Equal,
        value: name.into(),
        regex: None,
        absent: Absent::Value(Box::default()),
    }
}
