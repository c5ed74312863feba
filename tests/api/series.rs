//! Series, models, groups and saimon itself through the API, and the description of it all.

use std::collections::BTreeSet;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::Value;

use crate::serving::Serving;
use crate::{get, problem};

pub(crate) const STEP_MS: i64 = 15_000;
pub(crate) const SAMPLES: i64 = 400;

pub(crate) fn label(name: &str, value: &str) -> proto::Label {
    proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// Gauges and counters of three instances, and two that are not modelled.
pub(crate) fn request(end_ms: i64) -> proto::WriteRequest {
    let mut random = fastrand::Rng::with_seed(3);
    let mut timeseries = Vec::new();
    let names = ["load", "requests_total", "build_info"];
    for (n, name) in names.into_iter().enumerate() {
        for instance in ["a:1", "b:1", "c:1"] {
            let mut total = 0.0;
            let samples = (0..SAMPLES).map(|i| {
                let noise = 10.0 + random.f64();
                total += noise;
                proto::Sample {
                    value: [noise, total, 1.0][n],
                    timestamp: end_ms - (SAMPLES - 1 - i) * STEP_MS,
                }
            });
            timeseries.push(proto::TimeSeries {
                samples: samples.collect(),
                labels: vec![
                    label("__name__", name),
                    label("instance", instance),
                    label("job", "shop"),
                ],
                ..Default::default()
            });
        }
    }
    proto::WriteRequest {
        timeseries,
        ..Default::default()
    }
}

/// What all pages of a list have.
fn pages(saimon: &Serving, path: &str, of: &str, limit: usize) -> Vec<Value> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let page = get(saimon, &format!("{path}limit={limit}{token}"));
        all.extend(page[of].as_array().unwrap().iter().cloned());
        match page["next_page_token"].as_str() {
            Some(next) => token = format!("&page_token={next}"),
            None => return all,
        }
    }
}

#[test]
fn series_models_groups_and_saimon_itself() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("saimon.yaml");
    let text = "outputs: {remote_write: [{url: 'http://127.0.0.1:9/w', basic_auth: {username: u, password: hush}}]}\n";
    std::fs::write(&config, text).unwrap();
    let config = format!("--config={}", config.display());
    let saimon = Serving::start_with(&folder.path().join("data"), "127.0.0.1:0", &[&config]);
    let end_ms = SystemClock.now_ms();
    assert_eq!(saimon.connect().write(&request(end_ms)).status, 204);
    saimon.settled(9 * SAMPLES as u64);

    let all = pages(&saimon, "/api/v1/series?", "series", 1000);
    assert_eq!(all.len(), 9);
    assert_eq!(pages(&saimon, "/api/v1/series?", "series", 2), all);
    let count =
        |query: &str| pages(&saimon, &format!("/api/v1/series?{query}&"), "series", 4).len();
    for (query, wanted) in [
        ("kind=gauge", 3),
        ("kind=counter,window", 6),
        ("kind=statistic", 0),
        ("metric_name=load", 3),
        ("metric_name=load&match[]=%7Binstance%3D%22a:1%22%7D", 1),
        ("match[]=%7Binstance%3D~%22a.*%22%7D&match[]=load", 5),
        ("phase=none", 3),
        ("phase=warmup,young,mature", 6),
        ("missing=true", 0),
        ("missing=false", 9),
        ("season=day", 0),
        ("metric_name=unknown", 0),
    ] {
        assert_eq!(count(query), wanted, "{query}");
    }

    let load = all
        .iter()
        .find(|s| s["series"] == "load{instance=\"b:1\", job=\"shop\"}")
        .unwrap();
    let id = load["id"].as_str().unwrap();
    let model = &load["model"];
    assert_eq!(model["samples"], SAMPLES);
    assert_eq!(model["interval_seconds"], 15.0);
    assert!(
        (10.0..11.0).contains(&model["level"].as_f64().unwrap()),
        "{model}"
    );
    let one = get(&saimon, &format!("/api/v1/series/{id}"));
    assert_eq!(one["model"], *model);
    assert!(one["anomalies"].as_array().is_some());

    let models = pages(&saimon, "/api/v1/models?", "models", 4);
    assert_eq!(models.len(), 6);
    assert!(models.iter().any(|m| m["series_id"] == id));

    let window = get(&saimon, &format!("/api/v1/series/{id}/window?limit=5"));
    let samples = window["samples"].as_array().unwrap();
    assert_eq!((samples.len(), &window["truncated"]), (5, &true.into()));
    let newest = samples[4]["time"].as_str().unwrap();
    assert_eq!(
        newest.parse::<jiff::Timestamp>().unwrap().as_millisecond(),
        end_ms
    );
    let times: BTreeSet<_> = samples
        .iter()
        .map(|s| s["time"].as_str().unwrap())
        .collect();
    assert_eq!(times.len(), 5);
    let start = (end_ms - 2 * STEP_MS) as f64 / 1000.0;
    let some = get(
        &saimon,
        &format!("/api/v1/series/{id}/window?start_time={start}"),
    );
    assert_eq!(some["samples"].as_array().unwrap()[..], samples[2..]);

    explanations(&saimon, id, end_ms);

    let groups = get(&saimon, "/api/v1/groups?group_by=instance");
    let groups = groups["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 3, "{groups:?}");
    assert!(groups.iter().all(|g| g["members"] == 2));

    let status = get(&saimon, "/api/v1/status");
    assert_eq!(
        (&status["stage"], &status["recovering"]),
        (&"ready".into(), &false.into())
    );
    assert_eq!(status["series"]["window"], 3);
    assert_eq!(status["store"]["ok"], true);

    let shown = saimon.connect().get("/api/v1/config", "");
    assert!(!shown.text().contains("hush"), "{}", shown.text());
    let shown = get(&saimon, "/api/v1/config");
    assert_eq!(
        shown["outputs"]["remote_write"][0]["basic_auth"]["password"],
        "<secret>"
    );
    assert_eq!(shown["records"]["max"], 100_000);

    for (path, status, parameter) in [
        ("/api/v1/series/xyz", 400, "id"),
        ("/api/v1/series/0000000000000001", 404, ""),
        ("/api/v1/series?kind=gage", 400, "kind"),
        ("/api/v1/series?limit=5000", 400, "limit"),
        ("/api/v1/status?x=1", 400, "x"),
    ] {
        let (code, body) = problem(&saimon, path);
        assert_eq!(code, status, "{path}");
        assert_eq!(
            body["parameter"].as_str().unwrap_or_default(),
            parameter,
            "{path}"
        );
    }
    let late = format!("/api/v1/series/{id}/window?start_time=2&end_time=1");
    assert_eq!(problem(&saimon, &late).1["parameter"], "start_time");
    description(&saimon, id);
}

fn explanations(saimon: &Serving, id: &str, end_ms: i64) {
    let told = get(saimon, &format!("/api/v1/series/{id}/explain"));
    let number = |name: &str| {
        told[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name}: {told}"))
    };
    assert!(number("lower_bound") <= number("value"), "{told}");
    assert!(number("value") <= number("upper_bound"), "{told}");
    assert!(number("score") < 0.7 && number("deviation") < 1.0);
    assert_eq!(told["learned"]["samples"], SAMPLES - 1);
    let parts = told["detectors"].as_array().unwrap();
    let sum = |name: &str| parts.iter().map(|p| p[name].as_f64().unwrap()).sum::<f64>();
    let share = sum("share");
    assert!((share - 1.0).abs() < 1e-3 || share == 0.0, "{told}");
    assert!(
        (sum("deviation") - share * number("deviation")).abs() < 1e-3,
        "{told}"
    );
    let said = told["sentences"].as_array().unwrap();
    assert!(
        said[1].as_str().unwrap().starts_with("That is normal"),
        "{said:?}"
    );
    // One of the first cannot be judged yet, and before them there is nothing.
    let first = (end_ms - (SAMPLES - 5) * STEP_MS) as f64 / 1000.0;
    let told = get(saimon, &format!("/api/v1/series/{id}/explain?time={first}"));
    assert!(
        told["score"].is_null() && told["learned"]["phase"] == "warmup",
        "{told}"
    );
    let before = format!("/api/v1/series/{id}/explain?time=1000");
    assert_eq!(problem(saimon, &before).0, 404);
}

/// Every path that is described answers, with what is described and nothing else.
fn description(saimon: &Serving, id: &str) {
    let document = get(saimon, "/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let page = saimon.connect().get("/docs", "");
    assert_eq!(page.status, 200);
    // All that it asks for is here.
    let asked = page.text().split("\"/docs/").skip(1);
    let asked: Vec<_> = asked.map(|part| part.split('"').next().unwrap()).collect();
    assert_eq!(asked.len(), 3);
    for file in asked {
        let plain = saimon.connect().get(&format!("/docs/{file}"), "");
        assert_eq!(
            (plain.status, plain.header("content-encoding")),
            (200, None)
        );
        assert!(!plain.body.is_empty());
    }
    let bundle = "/docs/swagger-ui-bundle.js";
    let packed = saimon.connect().get(bundle, "accept-encoding: gzip\r\n");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]));
    assert!(paths.len() >= 12);
    for (path, item) in paths {
        let unlike = ["anomalies", "incidents", "maintenance"].map(|of| format!("/api/v1/{of}/{{"));
        if unlike.iter().any(|p| path.starts_with(p.as_str())) || item["get"].is_null() {
            continue;
        }
        let answer = get(saimon, &path.replace("{id}", id));
        let schema = &item["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        fits(&document, schema, &answer, path);
        let strange = format!("{}?strange=1", path.replace("{id}", id));
        assert_eq!(problem(saimon, &strange).1["parameter"], "strange");
    }
}

/// Checks types, required and known properties against a schema.
fn fits(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(pointer) = schema["$ref"].as_str() {
        let of = document.pointer(&pointer[1..]).unwrap();
        return fits(document, of, value, at);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        if !value.is_null() {
            let not_null = any.iter().find(|s| s["type"] != "null").unwrap();
            fits(document, not_null, value, at);
        }
        return;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let is = |kind: &&str| match *kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    };
    assert!(kinds.iter().any(is), "{at}: {value} is no {kinds:?}");
    if let (Value::Object(own), Some(known)) = (value, schema["properties"].as_object()) {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(own.contains_key(name.as_str().unwrap()), "{at}: no {name}");
        }
        for (name, part) in own {
            let schema = known.get(name);
            let schema = schema.unwrap_or_else(|| panic!("{at}: {name} is not described"));
            fits(document, schema, part, &format!("{at}.{name}"));
        }
    }
    if let Some(all) = value.as_array() {
        for part in all {
            fits(document, &schema["items"], part, at);
        }
    }
}

/// The guide names every path, and what it says of an error is what comes.
#[test]
fn the_guide_is_what_is_answered() {
    let guide = include_str!("../../docs/api.md");
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(folder.path());
    let document = get(&saimon, "/openapi.json");
    for path in document["paths"].as_object().unwrap().keys() {
        assert!(
            guide.contains(&format!("`{path}`")),
            "{path} is not in the guide"
        );
    }
    let error = guide.split("```json\n").nth(1).unwrap();
    let error: Value = serde_json::from_str(error.split("\n```").next().unwrap()).unwrap();
    let (_, said) = problem(&saimon, "/api/v1/anomalies?severity=severe");
    assert_eq!(said, error);
    // The examples, as curl sends them.
    let some = request(SystemClock.now_ms());
    assert_eq!(saimon.connect().write(&some).status, 204);
    saimon.settled(9 * SAMPLES as u64);
    let commands = guide.split("```sh\n").skip(1);
    let commands = commands.flat_map(|block| block.split("\n```").next().unwrap().lines());
    let mut run = 0;
    for line in commands {
        let here = line.replace(
            "http://localhost:9925",
            &format!("http://{}", saimon.address),
        );
        let shell = std::process::Command::new("sh")
            .args(["-c", &here.replace("curl ", "curl --fail ")])
            .output()
            .unwrap();
        assert!(
            shell.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&shell.stderr)
        );
        let answer: Result<Value, _> = serde_json::from_slice(&shell.stdout);
        assert!(answer.is_ok(), "{line}");
        run += 1;
    }
    assert_eq!(run, 4);
    // The script, as Python runs it.
    let script = guide.split("```python\n").nth(1).unwrap();
    let script = script.split("\n```").next().unwrap();
    let script = script.replace(
        "http://localhost:9925",
        &format!("http://{}", saimon.address),
    );
    let ran = std::process::Command::new("python3")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}
