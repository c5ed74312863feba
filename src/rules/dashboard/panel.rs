//! Panels of Grafana and their places.

use serde_json::{Value, json};

/// Columns of Grafana's grid.
const WIDTH: u64 = 24;

/// The data source that the reader chose.
pub(super) fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "${DS_PROMETHEUS}"})
}

/// Places panels from left to right.
#[derive(Default)]
pub(super) struct Grid {
    pub(super) panels: Vec<Value>,
    x: u64,
    y: u64,
    /// Height of the line that is being filled.
    height: u64,
}

impl Grid {
    pub(super) fn row(&mut self, title: &str) {
        self.next();
        self.push(
            json!({"type": "row", "title": title, "collapsed": false, "panels": []}),
            (0, self.y, WIDTH, 1),
        );
        self.y += 1;
    }

    pub(super) fn add(&mut self, width: u64, height: u64, panel: Panel) {
        if self.x + width > WIDTH {
            self.next();
        }
        self.push(panel.json, (self.x, self.y, width, height));
        self.x += width;
        self.height = self.height.max(height);
    }

    /// Below lower panels at the left of the same line.
    pub(super) fn add_below(&mut self, width: u64, height: u64, panel: Panel) {
        let y = self.y + self.height - height;
        self.push(panel.json, (0, y, width, height));
    }

    /// Begins a new line.
    pub(super) fn next(&mut self) {
        self.y += self.height;
        self.x = 0;
        self.height = 0;
    }

    fn push(&mut self, mut panel: Value, (x, y, w, h): (u64, u64, u64, u64)) {
        panel["id"] = json!(self.panels.len() + 1);
        panel["gridPos"] = json!({"x": x, "y": y, "w": w, "h": h});
        self.panels.push(panel);
    }
}

/// A panel under construction.
pub(super) struct Panel {
    json: Value,
}

impl Panel {
    pub(super) fn new(kind: &str, title: &str, description: &str) -> Self {
        let mut json = json!({
            "type": kind,
            "title": title,
            "description": description,
            "datasource": datasource(),
            "targets": [],
            "fieldConfig": {"defaults": {"custom": {}}, "overrides": []},
            "options": {},
        });
        match kind {
            "timeseries" => {
                json["options"] = json!({
                    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                });
                json["fieldConfig"]["defaults"]["custom"] = json!({
                    "drawStyle": "line", "lineWidth": 1, "fillOpacity": 8, "showPoints": "never",
                });
            }
            "table" => {
                json["options"] = json!({"frameIndex": 0, "showHeader": true});
                json["fieldConfig"]["defaults"]["custom"] = json!({
                    "align": "auto", "cellOptions": {"type": "auto"}, "inspect": false,
                });
            }
            "stat" => {
                json["options"] = json!({
                    "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                    "colorMode": "value", "graphMode": "area", "textMode": "auto",
                });
            }
            "state-timeline" => {
                json["options"] = json!({
                    "mergeValues": true, "showValue": "never", "rowHeight": 0.8,
                    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                });
            }
            _ => {}
        }
        Self { json }
    }

    pub(super) fn query(mut self, legend: &str, expr: &str) -> Self {
        self.target(json!({
            "expr": expr,
            "legendFormat": if legend.is_empty() { "__auto" } else { legend },
            "range": true,
        }));
        self
    }

    /// A table of what the query gives now, without some columns.
    pub(super) fn table(mut self, expr: &str, without: &[&str], sort: &str) -> Self {
        self.target(json!({"expr": expr, "format": "table", "instant": true}));
        let mut hidden = json!({"Time": true, "__name__": true});
        for column in without {
            hidden[*column] = json!(true);
        }
        self.json["transformations"] =
            json!([{"id": "organize", "options": {"excludeByName": hidden}}]);
        self.json["options"]["sortBy"] = json!([{"displayName": sort, "desc": sort == "Value"}]);
        self
    }

    fn target(&mut self, mut target: Value) {
        let targets = self.json["targets"]
            .as_array_mut()
            .expect("BUG: a panel without targets");
        let letter = char::from(b'A' + u8::try_from(targets.len()).unwrap_or_default());
        target["refId"] = json!(letter.to_string());
        target["datasource"] = datasource();
        targets.push(target);
    }

    fn defaults(&mut self) -> &mut Value {
        &mut self.json["fieldConfig"]["defaults"]
    }

    pub(super) fn unit(mut self, unit: &str) -> Self {
        self.defaults()["unit"] = json!(unit);
        self
    }

    pub(super) fn decimals(mut self, n: u8) -> Self {
        self.defaults()["decimals"] = json!(n);
        self
    }

    pub(super) fn range(mut self, min: f64, max: f64) -> Self {
        self.defaults()["min"] = json!(min);
        self.defaults()["max"] = json!(max);
        self
    }

    pub(super) fn stacked(mut self) -> Self {
        self.defaults()["custom"]["stacking"] = json!({"mode": "normal", "group": "A"});
        self.defaults()["custom"]["fillOpacity"] = json!(30);
        self
    }

    /// From which value on it has which colour.
    pub(super) fn steps(mut self, steps: &[(f64, &str)]) -> Self {
        let steps: Vec<_> = steps
            .iter()
            .enumerate()
            .map(|(i, (value, colour))| {
                // Grafana wants the first step to be open below.
                let value = if i == 0 { Value::Null } else { json!(value) };
                json!({"value": value, "color": colour})
            })
            .collect();
        self.defaults()["thresholds"] = json!({"mode": "absolute", "steps": steps});
        self
    }

    /// The line and the severities, drawn as lines or as the colour of a cell.
    pub(super) fn severities(self, lines: bool) -> Self {
        let mut panel = self.steps(&[
            (0.0, "green"),
            (0.7, "blue"),
            (0.85, "yellow"),
            (0.95, "orange"),
            (0.99, "red"),
        ]);
        if lines {
            panel.defaults()["custom"]["thresholdsStyle"] = json!({"mode": "line"});
        } else {
            panel.json["fieldConfig"]["overrides"] = json!([{
                "matcher": {"id": "byName", "options": "Value"},
                "properties": [
                    {"id": "displayName", "value": "score"},
                    {"id": "custom.cellOptions", "value": {"type": "color-background"}},
                ],
            }]);
        }
        panel
    }

    /// The room between two lines, filled, and those lines thin.
    pub(super) fn between(mut self, lower: &str, upper: &str) -> Self {
        let line = |name: &str, fill: Value| {
            json!({
                "matcher": {"id": "byName", "options": name},
                "properties": [
                    {"id": "custom.lineWidth", "value": 0},
                    {"id": "custom.fillBelowTo", "value": fill},
                    {"id": "custom.fillOpacity", "value": 20},
                    {"id": "color", "value": {"mode": "fixed", "fixedColor": "blue"}},
                ],
            })
        };
        let mut below = line(lower, Value::Null);
        // nothing is filled below the lower one
        below["properties"][1] = json!({"id": "custom.hideFrom", "value": {
            "legend": true, "tooltip": false, "viz": false,
        }});
        below["properties"][2]["value"] = json!(0);
        self.json["fieldConfig"]["overrides"] = json!([
            line(upper, json!(lower)),
            below,
            {
                "matcher": {"id": "byName", "options": "expected"},
                "properties": [
                    {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [6, 6]}},
                    {"id": "custom.fillOpacity", "value": 0},
                ],
            },
        ]);
        self
    }

    /// Links the metric of a row to its dashboard.
    pub(super) fn linked(mut self) -> Self {
        let link = json!({
            "matcher": {"id": "byName", "options": "source_metric"},
            "properties": [{"id": "links", "value": [{
                "title": "value, band and score",
                "url": "/d/saimon-series?var-metric=${__data.fields.source_metric}\
                        &var-job=${__data.fields.job}&var-instance=${__data.fields.instance}&${__url_time_range}",
            }]}],
        });
        if let Some(overrides) = self.json["fieldConfig"]["overrides"].as_array_mut() {
            overrides.push(link);
        }
        self
    }

    pub(super) fn colours(mut self, colours: &[(&str, &str)]) -> Self {
        let overrides: Vec<_> = colours
            .iter()
            .map(|(name, colour)| {
                json!({
                    "matcher": {"id": "byName", "options": name},
                    "properties": [
                        {"id": "color", "value": {"mode": "fixed", "fixedColor": colour}},
                    ],
                })
            })
            .collect();
        self.json["fieldConfig"]["overrides"] = json!(overrides);
        self
    }

    /// Words for values.
    pub(super) fn words(mut self, words: &[(i64, &str, &str)]) -> Self {
        let mut options = json!({});
        for (i, (value, word, colour)) in words.iter().enumerate() {
            options[value.to_string()] = json!({"text": word, "color": colour, "index": i});
        }
        self.defaults()["mappings"] = json!([{"type": "value", "options": options}]);
        self
    }
}
