//! Reads Rust just well enough to find the paths that a file names.
//!
//! Comments and literals are dropped, `use` trees are flattened, `self` and `super` are resolved.
//! It does not know types, macros or re-exports.

/// A word or one character of punctuation; `::` is one token.
pub(crate) type Token = String;

/// Splits `text` into words and punctuation, without comments and literals.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut out = Vec::new();
    let mut i = 0;
    while i < chars.len() {
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            i = after_block_comment(&chars, i);
        } else if c == '"' {
            i = after_string(&chars, i);
        } else if c == '\'' {
            i = after_quote(&chars, i);
        } else if c.is_alphanumeric() || c == '_' {
            let start = i;
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            let word: String = chars[start..i].iter().collect();
            if matches!(word.as_str(), "r" | "br" | "cr") && matches!(at(i), '"' | '#') {
                i = after_raw_string(&chars, i);
            } else {
                out.push(word);
            }
        } else if c == ':' && at(i + 1) == ':' {
            out.push("::".to_owned());
            i += 2;
        } else {
            if !c.is_whitespace() {
                out.push(c.to_string());
            }
            i += 1;
        }
    }
    out
}

fn after_block_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    break;
                }
            }
            _ => i += 1,
        }
    }
    i
}

fn after_string(chars: &[char], mut i: usize) -> usize {
    i += 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// `i` is at the first `#` or the quote. A raw identifier (`r#type`) passes as its word.
fn after_raw_string(chars: &[char], mut i: usize) -> usize {
    let start = i;
    while chars.get(i) == Some(&'#') {
        i += 1;
    }
    let hashes = i - start;
    if chars.get(i) != Some(&'"') {
        return i;
    }
    i += 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    i
}

/// After a char literal, or after the quote of a lifetime.
fn after_quote(chars: &[char], i: usize) -> usize {
    if chars.get(i + 1) == Some(&'\\') {
        // the escaped character may itself be a quote
        let mut end = i + 3;
        while end < chars.len() && chars[end] != '\'' {
            end += 1;
        }
        end + 1
    } else if chars.get(i + 2) == Some(&'\'') {
        i + 3
    } else {
        i + 1
    }
}

/// Leaves out every item under `#[cfg(test)]`.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i..].iter().take(MARK.len()).eq(MARK.iter()) {
            i = after_item(tokens, i + MARK.len());
        } else {
            out.push(tokens[i].clone());
            i += 1;
        }
    }
    out
}

/// An item ends with a semicolon outside of brackets, or with the brace that closes its body.
fn after_item(tokens: &[Token], mut i: usize) -> usize {
    let mut depth = 0;
    let mut is_use = false;
    while i < tokens.len() {
        match tokens[i].as_str() {
            "use" if depth == 0 => is_use = true,
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth -= 1;
                if depth == 0 && tokens[i] == "}" && !is_use {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
        i += 1;
    }
    i
}

/// Every path of the file with at least one `::`, and every plain `use x`. Paths from the crate's
/// root start with `crate`, whatever way they were written.
pub(crate) fn paths(tokens: &[Token], module: &[String]) -> Vec<Vec<String>> {
    let mut out = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        let starts_path = is_word(&tokens[i])
            && (i == 0 || tokens[i - 1] != "::")
            && (tokens.get(i + 1).is_some_and(|t| t == "::")
                || i > 0 && matches!(tokens[i - 1].as_str(), "use"));
        // `::sled::Db` names the library even where a module has its name
        let starts_absolute = tokens[i] == "::"
            && tokens.get(i + 1).is_some_and(|t| is_word(t))
            && (i == 0 || !is_word(&tokens[i - 1]) && tokens[i - 1] != ">");
        // `use {a, b}`
        let starts_group = tokens[i] == "{" && i > 0 && tokens[i - 1] == "use";
        if starts_path || starts_absolute || starts_group {
            let from = if starts_absolute { i + 1 } else { i };
            let prefix = if starts_absolute {
                vec!["::".to_owned()]
            } else {
                Vec::new()
            };
            let mut found = Vec::new();
            i = tree(tokens, from, prefix, &mut found);
            out.extend(found.into_iter().map(|p| resolve(&p, module)));
        } else {
            i += 1;
        }
    }
    out
}

fn is_word(token: &str) -> bool {
    token
        .chars()
        .next()
        .is_some_and(|c| c.is_alphabetic() || c == '_')
}

/// Flattens the tree that starts at `i` and says where it ends.
fn tree(
    tokens: &[Token],
    mut i: usize,
    mut path: Vec<String>,
    out: &mut Vec<Vec<String>>,
) -> usize {
    loop {
        match tokens.get(i).map(String::as_str) {
            Some("{") => {
                i += 1;
                while tokens.get(i).is_some_and(|t| t != "}") {
                    let before = i;
                    i = tree(tokens, i, path.clone(), out);
                    if tokens.get(i).is_some_and(|t| t == "as") {
                        i += 2;
                    }
                    if tokens.get(i).is_some_and(|t| t == ",") || i == before {
                        i += 1;
                    }
                }
                return i + 1;
            }
            Some("*") => {
                path.push("*".to_owned());
                out.push(path);
                return i + 1;
            }
            Some(word) if is_word(word) => {
                path.push(word.to_owned());
                i += 1;
                if tokens.get(i).is_none_or(|t| t != "::") {
                    out.push(path);
                    return i;
                }
                i += 1;
            }
            // a turbofish ends what is of interest
            _ => {
                out.push(path);
                return i;
            }
        }
    }
}

fn resolve(path: &[String], module: &[String]) -> Vec<String> {
    let mut base: Option<Vec<String>> = None;
    let mut rest = path;
    while let Some((first, tail)) = rest.split_first() {
        match first.as_str() {
            "crate" | "saimon" if base.is_none() => base = Some(vec!["crate".to_owned()]),
            "self" => {
                base.get_or_insert_with(|| module.to_vec());
            }
            "super" => {
                base.get_or_insert_with(|| module.to_vec()).pop();
            }
            _ => break,
        }
        rest = tail;
    }
    let mut out = base.unwrap_or_default();
    out.extend_from_slice(rest);
    // `std::time::{self}` is `std::time`
    if out.len() > 1 && out.last().is_some_and(|p| p == "self") {
        out.pop();
    }
    out
}
