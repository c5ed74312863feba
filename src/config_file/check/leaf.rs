//! Values without keys or elements: what fits a shape, and what to say of what does not.

use serde_json::Value as Json;

use crate::config::client::Address;
use crate::config_file::shape::Shape;
use crate::config_file::unit;
use crate::config_file::yaml::Value;
use crate::series::matcher::Selector;

/// A value without keys or elements, as its type takes it.
pub(super) fn read(shape: &Shape, value: &Value) -> Result<Json, String> {
    let wrong = |wanted: &str| match value {
        Value::Null => Err(format!("has no value: {wanted} is wanted")),
        _ => Err(format!("{} is not {wanted}", value.kind())),
    };
    let outside =
        |text: String, min: String, max: String| Err(format!("{text} is outside {min} to {max}"));
    match (shape, value) {
        (Shape::Bool, Value::Bool(b)) => Ok(Json::Bool(*b)),
        (Shape::Bool, _) => wrong("`true` or `false`"),
        (Shape::Integer { min, max }, Value::Int(i)) if (min..=max).contains(&i) => {
            Ok(Json::from(*i))
        }
        (Shape::Integer { min, max }, Value::Int(i)) => {
            outside(i.to_string(), min.to_string(), max.to_string())
        }
        (Shape::Integer { .. }, _) => wrong("a whole number"),
        (Shape::Number { min, max }, Value::Int(_) | Value::Float(_)) => {
            let x = match value {
                Value::Int(i) => *i as f64,
                Value::Float(f) => *f,
                _ => f64::NAN,
            };
            if x >= *min && x <= *max {
                Ok(Json::from(x))
            } else {
                outside(x.to_string(), number(*min), number(*max))
            }
        }
        (Shape::Number { .. }, _) => wrong("a number"),
        (Shape::Duration { min, max }, Value::Text(text)) => match unit::parse_duration(text) {
            Some(d) if (min..=max).contains(&&d) => Ok(Json::from(text.as_str())),
            Some(_) => outside(text.clone(), unit::duration(*min), unit::duration(*max)),
            None => wrong("a duration, such as `30s`, `5m` or `1d12h`"),
        },
        (Shape::Duration { .. }, Value::Int(i)) => Err(format!(
            "the number {i} is not a duration: add a unit, for example `{i}s`"
        )),
        (Shape::Duration { .. }, _) => wrong("a duration, such as `30s`, `5m` or `1d12h`"),
        (Shape::Size { min, max }, Value::Text(_) | Value::Int(_)) => {
            let text = match value {
                Value::Int(i) => i.to_string(),
                Value::Text(t) => t.clone(),
                _ => String::new(),
            };
            match unit::parse_size(&text) {
                Some(s) if (min..=max).contains(&&s) => Ok(Json::from(s.as_u64())),
                Some(_) => outside(text, unit::size(*min), unit::size(*max)),
                None => wrong("a size, such as `32MiB`"),
            }
        }
        (Shape::Size { .. }, _) => wrong("a size, such as `32MiB`"),
        (Shape::Text, Value::Text(text)) if text.is_empty() => Err("is empty".to_owned()),
        (Shape::Text, Value::Text(text)) => Ok(Json::from(text.as_str())),
        (Shape::Text, Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
            wrong("text: put it in quotes")
        }
        (Shape::Text, _) => wrong("text"),
        (Shape::AnyText, Value::Text(text)) => Ok(Json::from(text.as_str())),
        (Shape::AnyText, Value::Bool(_) | Value::Int(_) | Value::Float(_)) => {
            wrong("text: put it in quotes")
        }
        (Shape::AnyText, _) => wrong("text"),
        // What is there is not repeated: it may be a password without its quotes.
        (Shape::Secret, Value::Text(text)) if !text.is_empty() => Ok(Json::from(text.as_str())),
        (Shape::Secret, Value::Text(_)) => Err("is empty".to_owned()),
        (Shape::Secret, Value::Null) => wrong("text"),
        (Shape::Secret, _) => Err("is not text: put it in quotes".to_owned()),
        (Shape::Url, Value::Text(text)) => match Address::parse(text) {
            Ok(_) => Ok(Json::from(text.as_str())),
            Err(what) => Err(format!("is not an address: {what}")),
        },
        (Shape::Url, Value::Null) => wrong("an address, such as `http://localhost:9090`"),
        (Shape::Url, _) => Err("is not an address, such as `http://localhost:9090`".to_owned()),
        (Shape::Selector, Value::Text(text)) => match Selector::parse(text) {
            Ok(_) => Ok(Json::from(text.as_str())),
            Err(e) => Err(format!("not a selector: {} at character {}", e.what, e.at)),
        },
        (Shape::Selector, Value::Map(_)) => Err(
            "a section with keys is not a selector: put it in quotes, such as '{job=\"node\"}'"
                .to_owned(),
        ),
        (Shape::Selector, _) => wrong("a selector, such as '{job=\"node\"}'"),
        (Shape::Choice(choices), value) => {
            let words: Vec<_> = choices.iter().map(|c| c.word.as_str()).collect();
            match value {
                Value::Text(text) if words.contains(&text.as_str()) => {
                    Ok(Json::from(text.as_str()))
                }
                _ => wrong(&format!("one of `{}`", words.join("`, `"))),
            }
        }
        (Shape::Labels | Shape::Headers | Shape::Section(_), _) => wrong("a section with keys"),
        (Shape::List(_), _) => wrong("a list (each element begins with `- `)"),
    }
}

/// A bound without a tail of zeros.
pub(in crate::config_file) fn number(x: f64) -> String {
    if x != 0.0 && (x.abs() < 1e-4 || x.abs() >= 1e9) {
        format!("{x:e}")
    } else {
        x.to_string()
    }
}
