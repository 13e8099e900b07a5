//! How figures and the table are written.

use std::fmt::Write;

use serde_json::Value;

pub(super) fn shown(count: &Value) -> String {
    count
        .as_f64()
        .map_or_else(|| "not known".to_owned(), |count| figure(Some(count)))
}

/// Three digits or more, since fewer hide a difference and more are noise.
pub(super) fn figure(figure: Option<f64>) -> String {
    match figure {
        None => "–".to_owned(),
        Some(figure) if figure.fract() == 0.0 && figure.abs() < 1e15 => format!("{figure:.0}"),
        Some(figure) if figure.abs() >= 100.0 => format!("{figure:.0}"),
        Some(figure) if figure.abs() >= 10.0 => format!("{figure:.1}"),
        Some(figure) if figure.abs() >= 1.0 => format!("{figure:.2}"),
        Some(figure) if figure.abs() >= 0.001 => format!("{figure:.4}"),
        Some(figure) => format!("{figure:.1e}"),
    }
}

/// Columns of equal width: the first to the left, figures to the right, the last as it is.
pub(super) fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |cells: &Vec<String>| {
        let mut text = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let width = widths[column];
            let _ = match column {
                0 | 1 => write!(text, "{cell:<width$}  "),
                _ if column + 1 == columns => write!(text, "{cell}"),
                _ => write!(text, "{cell:>width$}  "),
            };
        }
        text.trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}
