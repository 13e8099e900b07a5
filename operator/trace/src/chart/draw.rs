//! Panels as SVG.

use std::fmt::Write;

use jiff::Timestamp;

use super::axis::{times, values};
use super::{Bars, Body, Layer, Mark, Panel, Picture};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 28.0;
/// Room above the first panel.
const HEAD: f64 = 84.0;
/// Room for a panel's title.
const TITLE: f64 = 34.0;
/// Room for a panel's time axis.
const FOOT: f64 = 44.0;

const STYLE: &str = "text{font-family:system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#475569;\
font-size:12px}.title{font-size:22px;font-weight:600;fill:#0f172a}.subtitle{font-size:14px}\
.panel{font-size:14px;font-weight:600;fill:#0f172a}.line{fill:none;stroke-linejoin:round;stroke-linecap:round}";

/// Where the values of a panel are on the picture.
struct Frame {
    top: f64,
    height: f64,
    most: f64,
    from: i64,
    span: f64,
}

impl Frame {
    fn x(&self, at: Timestamp) -> f64 {
        let share = (at.as_second() - self.from) as f64 / self.span;
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value / self.most).clamp(0.0, 1.0);
        self.top + self.height * (1.0 - share)
    }
}

pub(super) fn svg(picture: &Picture) -> String {
    let of_panels: f64 = picture
        .panels
        .iter()
        .map(|panel| TITLE + panel.height + FOOT)
        .sum();
    let height = HEAD + of_panels;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" width=\"{WIDTH}\" \
         height=\"{height:.0}\">\n<style>{STYLE}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text class=\"title\" x=\"{LEFT}\" y=\"40\">{}</text>\n\
         <text class=\"subtitle\" x=\"{LEFT}\" y=\"64\">{}</text>\n",
        escaped(&picture.title),
        escaped(&picture.subtitle),
    );
    let mut top = HEAD;
    for panel in &picture.panels {
        draw_panel(&mut svg, picture, panel, top + TITLE);
        top += TITLE + panel.height + FOOT;
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw_panel(svg: &mut String, picture: &Picture, panel: &Panel, top: f64) {
    let _ = writeln!(
        svg,
        "<text class=\"panel\" x=\"{LEFT}\" y=\"{:.1}\">{}<tspan dx=\"8\" font-weight=\"400\" fill=\"#64748b\">{}</tspan></text>",
        top - 12.0,
        escaped(&panel.title),
        escaped(&panel.unit),
    );
    let most = match &panel.body {
        Body::Time { layers, .. } => layers.iter().map(highest).fold(0.0, f64::max),
        Body::Bars { series, .. } => series
            .iter()
            .flat_map(|bars| bars.values.iter().copied())
            .fold(0.0, f64::max),
    };
    let ticks = values(most * 1.02);
    let (from, span) = match &panel.body {
        Body::Time { from, to, .. } => (
            from.as_second(),
            (to.as_second() - from.as_second()).max(1) as f64,
        ),
        Body::Bars { .. } => (0, 1.0),
    };
    let frame = Frame {
        top,
        height: panel.height,
        most: ticks.last().map_or(1.0, |tick| tick.at),
        from,
        span,
    };
    for tick in &ticks {
        let y = frame.y(tick.at);
        let stroke = if tick.strong { "#94a3b8" } else { "#e2e8f0" };
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {y:.1}H{:.1}\" stroke=\"{stroke}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 10.0,
            y + 4.0,
            tick.text,
        );
    }
    match &panel.body {
        Body::Time { from, to, layers } => {
            draw_times(svg, picture, &frame, *from, *to);
            let entries = layers
                .iter()
                .map(|layer| (layer.name.as_str(), layer.colour, opacity(layer)));
            draw_legend(svg, entries, top - 12.0);
            for layer in layers {
                draw_layer(svg, &frame, layer);
            }
        }
        Body::Bars { groups, series } => {
            draw_legend(
                svg,
                series
                    .iter()
                    .map(|bars| (bars.name.as_str(), bars.colour, 1.0)),
                top - 12.0,
            );
            draw_bars(svg, &frame, groups, series);
        }
    }
}

fn opacity(layer: &Layer) -> f64 {
    match layer.mark {
        Mark::Band { opacity, .. } => opacity,
        _ => 1.0,
    }
}

fn highest(layer: &Layer) -> f64 {
    match &layer.mark {
        Mark::Line { points, .. } | Mark::Stairs { points, .. } => points
            .iter()
            .filter_map(|(_, value)| *value)
            .fold(0.0, f64::max),
        Mark::Band { points, .. } => points
            .iter()
            .filter_map(|(_, band)| Some(band.as_ref()?.1))
            .fold(0.0, f64::max),
    }
}

fn draw_times(svg: &mut String, picture: &Picture, frame: &Frame, from: Timestamp, to: Timestamp) {
    for tick in times(from, to, &picture.clock) {
        let x = frame.x(tick.at);
        let (stroke, weight) = if tick.strong {
            ("#cbd5e1", 600)
        } else {
            ("#f1f5f9", 400)
        };
        let bottom = frame.top + frame.height;
        let _ = writeln!(
            svg,
            "<path d=\"M{x:.1} {:.1}V{bottom:.1}\" stroke=\"{stroke}\"/><text x=\"{x:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\" font-weight=\"{weight}\">{}</text>",
            frame.top,
            bottom + 18.0,
            escaped(&tick.text),
        );
    }
}

/// Names and colours, at the right of a panel's title.
fn draw_legend<'a>(
    svg: &mut String,
    entries: impl Iterator<Item = (&'a str, &'a str, f64)>,
    y: f64,
) {
    let entries: Vec<_> = entries.filter(|(name, ..)| !name.is_empty()).collect();
    let width = |name: &str| 34.0 + 6.6 * name.chars().count() as f64;
    let mut x = WIDTH - RIGHT - entries.iter().map(|(name, ..)| width(name)).sum::<f64>();
    for (name, colour, opacity) in entries {
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{:.1}\" width=\"16\" height=\"8\" rx=\"2\" fill=\"{colour}\" \
             fill-opacity=\"{opacity}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
            y - 8.0,
            x + 21.0,
            escaped(name),
        );
        x += width(name);
    }
}

fn draw_layer(svg: &mut String, frame: &Frame, layer: &Layer) {
    let colour = layer.colour;
    match &layer.mark {
        Mark::Line { width, points } | Mark::Stairs { width, points } => {
            let stairs = matches!(layer.mark, Mark::Stairs { .. });
            let path = line(frame, points, stairs);
            let _ = writeln!(
                svg,
                "<path class=\"line\" d=\"{path}\" stroke=\"{colour}\" stroke-width=\"{width}\"/>"
            );
        }
        Mark::Band { opacity, points } => {
            for part in points.split(|(_, band)| band.is_none()) {
                let edge = |upper: bool| {
                    let of = move |(at, band): &(Timestamp, Option<(f64, f64)>)| {
                        band.map(|band| (*at, if upper { band.1 } else { band.0 }))
                    };
                    part.iter().filter_map(of)
                };
                let forth = edge(true)
                    .map(|(at, value)| format!("{:.1} {:.1}", frame.x(at), frame.y(value)));
                let back = edge(false)
                    .map(|(at, value)| format!("{:.1} {:.1}", frame.x(at), frame.y(value)));
                let back: Vec<String> = back.collect();
                let path: Vec<String> = forth.chain(back.into_iter().rev()).collect();
                if path.len() > 2 {
                    let path = path.join("L");
                    let _ = writeln!(
                        svg,
                        "<path d=\"M{path}Z\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>"
                    );
                }
            }
        }
    }
}

fn line(frame: &Frame, points: &[(Timestamp, Option<f64>)], stairs: bool) -> String {
    let mut path = String::new();
    let mut drawn = false;
    for (at, value) in points {
        let Some(value) = value else {
            drawn = false;
            continue;
        };
        let (x, y) = (frame.x(*at), frame.y(*value));
        let _ = match (drawn, stairs) {
            (false, _) => write!(path, "M{x:.1} {y:.1}"),
            (true, false) => write!(path, "L{x:.1} {y:.1}"),
            (true, true) => write!(path, "H{x:.1}V{y:.1}"),
        };
        drawn = true;
    }
    path
}

fn draw_bars(svg: &mut String, frame: &Frame, groups: &[String], series: &[Bars]) {
    let room = (WIDTH - LEFT - RIGHT) / groups.len().max(1) as f64;
    let width = (0.7 * room / series.len().max(1) as f64).min(56.0);
    let used = width * series.len() as f64;
    let bottom = frame.top + frame.height;
    for (order, group) in groups.iter().enumerate() {
        let left = LEFT + room * (order as f64 + 0.5) - used / 2.0;
        for (place, bars) in series.iter().enumerate() {
            let known = bars.values.get(order).copied();
            let Some(value) = known.filter(|value| value.is_finite()) else {
                continue;
            };
            let (x, y) = (left + width * place as f64, frame.y(value));
            let _ = writeln!(
                svg,
                "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" rx=\"3\" fill=\"{}\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"11\">{value:.1}</text>",
                x + 2.0,
                width - 4.0,
                bottom - y,
                bars.colour,
                x + width / 2.0,
                y - 5.0,
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            left + used / 2.0,
            bottom + 18.0,
            escaped(group),
        );
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;
    use crate::chart::{Clock, colour};

    #[test]
    fn what_is_no_number_is_not_drawn() {
        let drawn = svg(&Picture {
            title: String::new(),
            subtitle: String::new(),
            clock: Clock::Calendar(TimeZone::UTC),
            panels: vec![Panel {
                title: String::new(),
                unit: String::new(),
                height: 100.0,
                body: Body::Bars {
                    groups: vec!["a".to_owned(), "b".to_owned()],
                    series: vec![Bars {
                        name: "bars".to_owned(),
                        colour: colour::OURS,
                        values: vec![f64::NAN, f64::INFINITY],
                    }],
                },
            }],
        });
        assert!(!drawn.contains("NaN") && !drawn.contains("inf"), "{drawn}");
    }
}
