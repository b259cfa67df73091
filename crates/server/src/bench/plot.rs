//! Charts as SVG: panels side by side with both scales logarithmic, one legend, no script.
//!
//! Colours are classes, so one file can be read on white and on black.

use std::fmt::Write as _;

/// Several panels under one title.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    pub(crate) title: String,
    /// What lies along the panels, and what goes up.
    pub(crate) across: String,
    pub(crate) up: String,
    pub(crate) panels: Vec<Panel>,
}

/// Lines in one pair of axes.
#[derive(Clone, Debug)]
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) series: Vec<Series>,
}

/// A line with dots and its dashed shadow with rings: where, the median, and the 99th percentile.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64, f64)>,
}

const WIDE: f64 = 420.0;
const HIGH: f64 = 260.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 80.0;
const GAP: f64 = 70.0;
const LEGEND: f64 = 22.0;

/// After Okabe and Ito, whom the colour-blind can tell apart; the second is for a dark ground.
const COLOURS: [(&str, &str); 7] = [
    ("#0072b2", "#56b4e9"),
    ("#d55e00", "#ff9d5c"),
    ("#009e73", "#3fd0a4"),
    ("#a8559a", "#e59ccb"),
    ("#8a6d00", "#f0e442"),
    ("#555555", "#bbbbbb"),
    ("#b00020", "#ff7a8a"),
];

/// A scale of powers of ten that holds all of some figures.
#[derive(Clone, Copy)]
struct Scale {
    low: i32,
    high: i32,
}

impl Scale {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (i32::MAX, i32::MIN);
        for log in figures.filter(|figure| *figure > 0.0).map(f64::log10) {
            (low, high) = (low.min(log.floor() as i32), high.max(log.ceil() as i32));
        }
        if low > high {
            (low, high) = (0, 1);
        }
        Self { low, high: high.max(low + 1) }
    }

    /// From 0 at the low end to 1 at the high one.
    fn place(self, figure: f64) -> f64 {
        (figure.log10() - f64::from(self.low)) / f64::from(self.high - self.low)
    }

    fn powers(self) -> impl Iterator<Item = i32> {
        self.low..=self.high
    }
}

impl Chart {
    /// The whole file.
    pub(crate) fn svg(&self) -> String {
        let columns = self.panels.len().clamp(1, 2);
        let rows = self.panels.len().div_ceil(2).max(1);
        let names: Vec<&str> = self.names();
        let foot = TOP + rows as f64 * (HIGH + GAP);
        let legend_rows = names.len().div_ceil(3);
        let width = columns as f64 * (WIDE + LEFT + 20.0) + 20.0;
        let height = foot + legend_rows as f64 * LEGEND + 20.0;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\" role=\"img\" \
             aria-label=\"{0}\">\n<title>{0}</title>\n{1}",
            escaped(&self.title),
            style()
        );
        text(&mut out, (width / 2.0, 28.0), "middle", "title", &self.title);
        let all = || self.panels.iter().flat_map(|panel| &panel.series).flat_map(|s| &s.points);
        // One scale for all, so that panels can be compared by eye.
        let across = Scale::of(all().map(|point| point.0));
        let up = Scale::of(all().flat_map(|point| [point.1, point.2]));
        for (place, panel) in self.panels.iter().enumerate() {
            let left = LEFT + (place % columns) as f64 * (WIDE + LEFT + 20.0);
            let top = TOP + (place / columns) as f64 * (HIGH + GAP);
            self.panel(&mut out, panel, (left, top), (across, up), &names);
        }
        for (place, name) in names.iter().enumerate() {
            let (x, y) = (LEFT + (place % 3) as f64 * 260.0, foot + (place / 3) as f64 * LEGEND);
            let colour = place % COLOURS.len();
            line(&mut out, &format!("line c{colour}"), &[(x, y - 4.0), (x + 28.0, y - 4.0)]);
            text(&mut out, (x + 36.0, y), "start", "", name);
        }
        out + "</svg>\n"
    }

    /// The names of the lines of all panels, each once.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for series in self.panels.iter().flat_map(|panel| &panel.series) {
            if !names.contains(&series.name.as_str()) {
                names.push(series.name.as_str());
            }
        }
        names
    }

    fn panel(
        &self,
        out: &mut String,
        panel: &Panel,
        (left, top): (f64, f64),
        (across, up): (Scale, Scale),
        names: &[&str],
    ) {
        let x = |figure: f64| left + across.place(figure) * WIDE;
        // Where no line has two ends all points are above one another: they are set side by side.
        let alone = panel.series.iter().all(|series| series.points.len() == 1);
        let aside = |place: usize| {
            let middle = (names.len() as f64 - 1.0) / 2.0;
            if alone { (place as f64 - middle) * 14.0 } else { 0.0 }
        };
        let y = |figure: f64| top + (1.0 - up.place(figure)) * HIGH;
        text(out, (left, top - 10.0), "start", "head", &panel.title);
        for power in across.powers() {
            let at = x(10f64.powi(power));
            line(out, "grid", &[(at, top), (at, top + HIGH)]);
            text(out, (at, top + HIGH + 16.0), "middle", "", &power_of_ten(power));
        }
        for power in up.powers() {
            let at = y(10f64.powi(power));
            line(out, "grid", &[(left, at), (left + WIDE, at)]);
            text(out, (left - 8.0, at + 4.0), "end", "", &power_of_ten(power));
        }
        let middle = (left + WIDE / 2.0, top + HIGH + 34.0);
        text(out, middle, "middle", "", &self.across);
        let (at, height) = (left - 52.0, top + HIGH / 2.0);
        let _ = writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{height:.1}\" text-anchor=\"middle\" \
             transform=\"rotate(-90 {at:.1} {height:.1})\">{}</text>",
            escaped(&self.up)
        );
        for series in &panel.series {
            let place = names.iter().position(|name| *name == series.name).unwrap_or(0);
            let colour = place % COLOURS.len();
            let seen = || series.points.iter().filter(|point| point.0 > 0.0);
            let of = |pick: fn(&(f64, f64, f64)) -> f64| -> Vec<(f64, f64)> {
                let points = seen().filter(|point| pick(point) > 0.0);
                points.map(|point| (x(point.0) + aside(place), y(pick(point)))).collect()
            };
            let (middles, tails) = (of(|point| point.1), of(|point| point.2));
            line(out, &format!("line tail c{colour}"), &tails);
            line(out, &format!("line c{colour}"), &middles);
            dots(out, &format!("line c{colour}"), &tails);
            dots(out, &format!("dot c{colour}"), &middles);
        }
    }
}

fn style() -> String {
    let mut style = String::from(
        "<style>\nsvg{background:#fff}text{fill:#222}.title{font-size:18px}\
         .head{font-weight:600;font-size:13px}\n.grid{stroke:#ddd;fill:none}\
         .line{fill:none;stroke-width:2}.tail{stroke-dasharray:4 4;stroke-width:1.2}\n",
    );
    let rule = |place: usize, colour: &str| {
        format!(".line.c{place}{{stroke:{colour}}}.dot.c{place}{{fill:{colour}}}")
    };
    let light = COLOURS.iter().enumerate().map(|(place, (light, _))| rule(place, light));
    style.extend(light);
    style += "\n@media (prefers-color-scheme: dark){svg{background:#0d1117}text{fill:#ddd}\
              .grid{stroke:#333}";
    let dark = COLOURS.iter().enumerate().map(|(place, (_, dark))| rule(place, dark));
    style.extend(dark);
    style + "}\n</style>\n"
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, class: &str, words: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let words = escaped(words);
    // Memory takes what is written; so in all of this file.
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{class}>{words}</text>"
    );
}

fn dots(out: &mut String, class: &str, points: &[(f64, f64)]) {
    for (x, y) in points {
        let _ = writeln!(out, "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"/>");
    }
}

fn line(out: &mut String, class: &str, points: &[(f64, f64)]) {
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let _ = writeln!(out, "<polyline class=\"{class}\" points=\"{}\"/>", points.join(" "));
}

/// `1`, `100`, `10k`, `1M`; thousandths as `0.001`.
fn power_of_ten(power: i32) -> String {
    let digits = |zeros: i32| format!("1{}", "0".repeat(zeros.unsigned_abs() as usize));
    match power {
        9.. => digits(power - 9) + "G",
        6.. => digits(power - 6) + "M",
        3.. => digits(power - 3) + "k",
        0.. => digits(power),
        _ => format!("0.{}1", "0".repeat(power.unsigned_abs() as usize - 1)),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_changes_only_on_purpose() {
        let series = |name: &str, factor: f64| Series {
            name: name.into(),
            points: vec![(1e5, 40.0 * factor, 90.0 * factor), (1e7, 44.0 * factor, 120.0)],
        };
        let chart = Chart {
            title: "Latency & <size>".into(),
            across: "transactions".into(),
            up: "µs".into(),
            panels: vec![
                Panel { title: "warm".into(), series: vec![series("newest page", 1.0)] },
                Panel { title: "cold".into(), series: vec![series("oldest page", 2.0)] },
            ],
        };
        insta::assert_snapshot!(chart.svg());
    }

    #[test]
    fn a_chart_without_figures_is_still_one() {
        let panel = Panel {
            title: "empty".into(),
            series: vec![Series { name: "none".into(), points: vec![(1e3, 0.0, f64::NAN)] }],
        };
        let title = String::from("nothing");
        let chart = Chart { across: "n".into(), up: "µs".into(), panels: vec![panel], title };
        let svg = chart.svg();
        assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn the_points_of_one_ledger_stand_side_by_side_as_dots_and_rings() {
        let series = |name: &str| Series { name: name.into(), points: vec![(2e3, 40.0, 90.0)] };
        let panel =
            Panel { title: "warm".into(), series: vec![series("newest"), series("oldest")] };
        let title = String::from("one");
        let chart = Chart { across: "n".into(), up: "µs".into(), panels: vec![panel], title };
        let svg = chart.svg();
        let circles = svg.lines().filter_map(|line| line.strip_prefix("<circle class=\""));
        let at = |circle: &str| circle.split('"').nth(2).map(str::to_owned);
        let places: std::collections::BTreeSet<_> = circles.clone().map(at).collect();
        let rings = circles.clone().filter(|circle| circle.starts_with("line")).count();
        assert_eq!((circles.count(), rings, places.len()), (4, 2, 2), "{svg}");
    }

    #[test]
    fn a_power_of_ten_is_short() {
        let told = [-3, -1, 0, 2, 4, 6, 8, 9].map(power_of_ten);
        assert_eq!(told, ["0.001", "0.1", "1", "100", "10k", "1M", "100M", "1G"]);
    }
}
