//! Tables for a terminal.

/// Lays out rows of cells: the first column to the left, the others to the right.
#[must_use]
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
    };
    let widths: Vec<usize> = (0..columns)
        .map(|column| width(column).unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column == 0 {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A fraction as a percentage; a dash for what is no number, such as the error over no load at all.
#[must_use]
pub fn percent(fraction: f64) -> String {
    let percent = 100.0 * fraction;
    if percent.is_finite() {
        format!("{percent:.1} %")
    } else {
        "–".to_owned()
    }
}

/// A ratio of two figures; a dash where there is none.
#[must_use]
pub fn ratio(figure: f64, other: f64) -> String {
    self::figure(Some(figure / other))
}

/// A figure; a dash for what is not known.
#[must_use]
pub fn figure(known: Option<f64>) -> String {
    match known {
        Some(known) if !known.is_finite() => "–".to_owned(),
        // Beyond these, digits tell nothing.
        Some(known) if known != 0.0 && !(1e-3..1e9).contains(&known.abs()) => {
            format!("{known:.1e}")
        }
        Some(known) => format!("{known:.3}"),
        None => "–".to_owned(),
    }
}

/// Seconds in the largest unit that keeps them whole.
#[must_use]
pub fn duration(seconds: u32) -> String {
    match seconds {
        whole if whole % 3600 == 0 => format!("{} h", whole / 3600),
        whole if whole % 60 == 0 => format!("{} min", whole / 60),
        other => format!("{other} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_a_dash() {
        assert_eq!([percent(0.125), percent(f64::NAN)], ["12.5 %", "–"]);
        assert_eq!([percent(f64::INFINITY), percent(f64::MAX)], ["–", "–"]);
        assert_eq!(
            [ratio(1.0, 2.0), ratio(0.0, 0.0), ratio(1.0, 0.0)],
            ["0.500", "–", "–"]
        );
        assert_eq!([figure(Some(2.0)), figure(None)], ["2.000", "–"]);
        let small_and_large = [0.0, 2e-7, 2e18].map(|known| figure(Some(known)));
        assert_eq!(small_and_large, ["0.000", "2.0e-7", "2.0e18"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = [["a", "1.0"], ["long", "12.0"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(table(&rows), "a      1.0\nlong  12.0\n");
    }
}
