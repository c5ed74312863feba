//! Regular expressions as Prometheus means them: RE2's syntax and classes, anchored at both ends.
//!
//! The regex crate has the same foundations (no backtracking, linear time) and differs in details
//! that a rule written for Prometheus would notice: `\d`, `\w`, `\s` and `\b` are Unicode there and
//! ASCII in RE2, `&&` and `--` mean set operations inside a class, `{` must be a repetition, `\Q`
//! is unknown. The pattern is rewritten before it is compiled.
//!
//! What it does not know: octal escapes, and what RE2 refuses and the regex crate takes.

use regex::{Regex, RegexBuilder};

/// Memory of one compiled pattern: patterns come from files and from URLs. A list of a thousand
/// names fits.
pub(super) const COMPILED_BYTES_MAX: usize = 2 << 20;
/// What a pattern is taken to need when compiled: the least of these steps that is enough. Nearly all
/// need the first.
const COMPILED_STEPS: [usize; 6] = [32 << 10, 64 << 10, 128 << 10, 256 << 10, 512 << 10, 1 << 20];
/// Memory in which a pattern remembers what it has worked out, as a multiple of what it needs.
const CACHE_FACTOR: usize = 8;
/// Depth of groups in one pattern; the compiler's stack depends on it.
const NESTING_MAX: u32 = 50;

/// Compiles `^(?s:pattern)$` in at most `left` bytes, and takes what it needs off them. A pattern is
/// slower the more it needs: `(a?){9000}` takes milliseconds for one short value. Who has many
/// patterns from one stranger gives all of them one `left`.
///
/// # Errors
/// What is wrong with the pattern, in one line.
pub(super) fn anchored(pattern: &str, left: &mut usize) -> Result<Regex, String> {
    let translated = format!("^(?s:{})$", Translator::new(pattern).run()?);
    let most = COMPILED_BYTES_MAX.min(*left);
    let steps = COMPILED_STEPS.into_iter().filter(|step| *step < most);
    for step in steps.chain([most]) {
        let compiled = RegexBuilder::new(&translated)
            .size_limit(step)
            .dfa_size_limit(step.saturating_mul(CACHE_FACTOR).min(COMPILED_BYTES_MAX))
            .nest_limit(NESTING_MAX)
            .build();
        match compiled {
            Ok(regex) => {
                *left -= step;
                return Ok(regex);
            }
            Err(regex::Error::CompiledTooBig(_)) => {}
            // Of the drawing with the pattern in it, the line that says what is wrong.
            Err(e) => {
                let text = e.to_string();
                let line = text.lines().last().unwrap_or_default();
                return Err(format!(
                    "bad regular expression: {}",
                    line.trim_start_matches("error: ")
                ));
            }
        }
    }
    Err(format!(
        "regular expression needs more than {most} bytes when compiled"
    ))
}

struct Translator<'a> {
    rest: std::iter::Peekable<std::str::CharIndices<'a>>,
    pattern: &'a str,
    out: String,
}

impl<'a> Translator<'a> {
    fn new(pattern: &'a str) -> Self {
        Self {
            rest: pattern.char_indices().peekable(),
            pattern,
            out: String::with_capacity(pattern.len() + 16),
        }
    }

    fn run(mut self) -> Result<String, String> {
        let mut depth = 0usize;
        while let Some((at, c)) = self.rest.next() {
            match c {
                '\\' => self.escape()?,
                '[' => self.class(),
                '(' => {
                    depth += 1;
                    self.out.push('(');
                    self.check_flags(at + 1)?;
                }
                // Else it would close the group that anchors the pattern.
                ')' => {
                    depth = depth
                        .checked_sub(1)
                        .ok_or("bad regular expression: unopened group")?;
                    self.out.push(')');
                }
                '{' if !is_repetition(&self.pattern[at..]) => self.out.push_str("\\{"),
                c => self.out.push(c),
            }
        }
        Ok(self.out)
    }

    fn escape(&mut self) -> Result<(), String> {
        // Else it would escape what is put behind the pattern.
        let Some((_, c)) = self.rest.next() else {
            return Err("bad regular expression: backslash at the end".into());
        };
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str("[^0-9]"),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str("[^0-9A-Za-z_]"),
            's' => self.out.push_str("[\\t\\n\\f\\r ]"),
            'S' => self.out.push_str("[^\\t\\n\\f\\r ]"),
            'b' => self.out.push_str("(?-u:\\b)"),
            'B' => self.out.push_str("(?-u:\\B)"),
            '<' | '>' => self.out.push(c),
            'Q' => self.quoted(),
            'x' | 'p' | 'P' => {
                self.out.extend(['\\', c]);
                self.braced();
            }
            c => self.out.extend(['\\', c]),
        }
        Ok(())
    }

    /// The `{...}` behind `\x` and `\p`, which is no repetition.
    fn braced(&mut self) {
        if self.rest.next_if(|(_, c)| *c == '{').is_some() {
            self.out.push('{');
            for (_, c) in self.rest.by_ref() {
                self.out.push(c);
                if c == '}' {
                    break;
                }
            }
        }
    }

    /// `\Q...\E`, or to the end.
    fn quoted(&mut self) {
        let start = self.rest.peek().map_or(self.pattern.len(), |(at, _)| *at);
        let text = &self.pattern[start..];
        let end = text.find("\\E").unwrap_or(text.len());
        self.out.push_str(&regex::escape(&text[..end]));
        while self
            .rest
            .peek()
            .is_some_and(|(at, _)| *at < start + end + 2)
        {
            self.rest.next();
        }
    }

    fn class(&mut self) {
        self.out.push('[');
        if self.rest.next_if(|(_, c)| *c == '^').is_some() {
            self.out.push('^');
        }
        if self.rest.next_if(|(_, c)| *c == ']').is_some() {
            self.out.push_str("\\]");
        }
        while let Some((at, c)) = self.rest.next() {
            match c {
                ']' => {
                    self.out.push(']');
                    return;
                }
                '[' => match ascii_class(&self.pattern[at..]) {
                    Some(name) => {
                        self.out.push_str(name);
                        for _ in 1..name.len() {
                            self.rest.next();
                        }
                    }
                    None => self.out.push_str("\\["),
                },
                '&' | '~' => self.out.extend(['\\', c]),
                '-' if self.out.ends_with('-') => self.out.push_str("\\-"),
                '\\' => match self.rest.next() {
                    Some((_, 'd')) => self.out.push_str("0-9"),
                    Some((_, 'w')) => self.out.push_str("0-9A-Za-z_"),
                    Some((_, 's')) => self.out.push_str("\\t\\n\\f\\r "),
                    Some((_, 'D')) => self.out.push_str("[^0-9]"),
                    Some((_, 'W')) => self.out.push_str("[^0-9A-Za-z_]"),
                    Some((_, 'S')) => self.out.push_str("[^\\t\\n\\f\\r ]"),
                    Some((_, c)) => self.out.extend(['\\', c]),
                    None => self.out.push('\\'),
                },
                c => self.out.push(c),
            }
        }
    }

    /// RE2 has the flags `imsU`; others would change how the rest is read.
    fn check_flags(&self, at: usize) -> Result<(), String> {
        let Some(flags) = self.pattern[at..].strip_prefix('?') else {
            return Ok(());
        };
        let odd = flags
            .chars()
            .take_while(|c| c.is_ascii_alphabetic() || *c == '-')
            .find(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-' | 'P'));
        odd.map_or(Ok(()), |c| {
            Err(format!("bad regular expression: unknown flag {c:?}"))
        })
    }
}

/// True for `{3}`, `{3,}` and `{3,5}` at the start of `text`.
fn is_repetition(text: &str) -> bool {
    let Some((inner, _)) = text[1..].split_once('}') else {
        return false;
    };
    let number = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_digit());
    match inner.split_once(',') {
        Some((low, high)) => number(low) && (high.is_empty() || number(high)),
        None => number(inner),
    }
}

/// `[:alpha:]` or the like at the start of `text`.
fn ascii_class(text: &str) -> Option<&str> {
    let end = text.strip_prefix("[:")?.find(":]")? + 4;
    let name = text[2..end - 2].trim_start_matches('^');
    name.bytes()
        .all(|c| c.is_ascii_lowercase())
        .then_some(&text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compiled(pattern: &str) -> Result<Regex, String> {
        anchored(pattern, &mut COMPILED_BYTES_MAX.clone())
    }

    fn is(pattern: &str, text: &str) -> bool {
        compiled(pattern).unwrap().is_match(text)
    }

    #[test]
    fn patterns_share_what_they_may_need() {
        let mut left = COMPILED_BYTES_MAX;
        anchored("node|demo", &mut left).unwrap();
        assert_eq!(left, COMPILED_BYTES_MAX - COMPILED_STEPS[0]);
        let names: Vec<_> = (0..250).map(|i| format!("host-{i}.example.org")).collect();
        anchored(&names.join("|"), &mut left).unwrap();
        let large = "(a?){9000}b";
        assert!(compiled(large).is_ok());
        let error = anchored(large, &mut left).unwrap_err();
        assert!(error.contains("compiled"), "{error}");
        // What did not fit takes nothing.
        anchored("node|demo", &mut left).unwrap();
        assert!(anchored("a", &mut 0).is_err());
    }

    /// Conformance 79.
    #[test]
    fn patterns_match_the_whole_value() {
        assert!(!is("pro", "prometheus"));
        assert!(is("pro.*", "prometheus"));
        assert!(is("a|b", "b") && !is("a|b", "ab"));
        assert!(is("", "") && !is("", "a"));
        assert!(is("(?i)PROD", "prod") && is("a$", "a") && is("^a", "a"));
    }

    /// Conformance 80.
    #[test]
    fn classes_are_ascii_and_the_dot_matches_a_newline() {
        assert!(is("a.b", "a\nb") && is(".", "\u{fc}"));
        assert!(is(r"\d+", "42") && !is(r"\d", "\u{0664}"));
        assert!(is(r"\w+", "a_1") && !is(r"\w", "\u{fc}") && is(r"\W", "\u{fc}"));
        assert!(is(r"\s", "\t") && !is(r"\s", "\u{a0}") && is(r"\S\D", "\u{a0}a"));
        assert!(is(r"\bx\b", "x") && is(r".\bx", "\u{fc}x") && is(r"a\Bb", "ab"));
        assert!(is(r"[\d\s]+", "1 2") && !is(r"[\w]", "\u{fc}") && is(r"[^\D]", "7"));
    }

    #[test]
    fn what_the_regex_crate_reads_otherwise_is_rewritten() {
        assert!(is("[a&&b]+", "a&b") && is("[~~x]", "~") && is("[[]", "[") && is("[]a]", "]"));
        assert!(is("[[:digit:]_]+", "1_2") && is("[^[:^digit:]]", "3") && is("[+--]", ","));
        assert!(is("/api/{id}", "/api/{id}") && is("a{2}", "aa") && is("a{1,}b{1,2}", "aab"));
        assert!(is(r"\Qa.b{\E+", "a.b{{") && is(r"\Qa.b", "a.b") && is(r"\<\-\_", "<-_"));
        assert!(is(r"\x{DC}\x41{2}", "\u{dc}AA") && is(r"\p{Greek}\pL{2}", "\u{3b1}ab"));
        assert!(!is(r"\P{L}", "a") && compiled(r"\p{L").is_err() && compiled(r"\x{").is_err());
        assert!(is(r"[\]\-]+", "-]") && is("(?P<x>a)(?:b)", "ab"));
    }

    #[test]
    fn bad_patterns_say_why_in_one_line() {
        for (pattern, why) in [
            ("a)|(b", "unopened group"),
            ("(a", "unclosed group"),
            ("[a", "unclosed character class"),
            ("*", "repetition operator missing expression"),
            ("(?x)a", "unknown flag 'x'"),
            ("a\\", "backslash at the end"),
            (r"(?:\pL{100}){100}", "compiled"),
        ] {
            let error = compiled(pattern).unwrap_err();
            assert!(
                error.contains(why) && !error.contains('\n'),
                "{pattern}: {error}"
            );
        }
        assert!(compiled(&"(".repeat(5_000)).is_err());
    }
}
