use proptest::prelude::*;

use super::*;

fn reading(step: u32) -> Reading {
    Reading {
        step: Some(step),
        ..Reading::default()
    }
}

fn told(text: &str, reading: &Reading) -> String {
    read(text.as_bytes(), reading)
        .expect_err("is refused")
        .to_string()
}

#[test]
fn rows_of_one_step_are_averaged_and_missing_ones_are_gaps() {
    let text = "t,load\n0,1\n300,3\n600,5\n1800,7\n";
    let series = read(text.as_bytes(), &reading(600)).expect("is read");
    assert_eq!(series.values, [Some(2.0), Some(5.0), None, Some(7.0)]);
    assert_eq!(series.at(3).as_second(), 1800);
}

#[test]
fn columns_are_found_by_name_and_the_step_by_the_rows() {
    let text = "clients;when;rate\n9;2026-11-24 08:00:00;1.5\n9;2026-11-24 08:10:00;2.5\n";
    let named = Reading {
        time: Some("when".to_owned()),
        value: Some("rate".to_owned()),
        ..Reading::default()
    };
    let series = read(text.as_bytes(), &named).expect("is read");
    assert_eq!(series.step, 600);
    assert_eq!(
        series.begin,
        "2026-11-24T08:00:00Z".parse().expect("a time")
    );
    assert_eq!(series.values, [Some(1.5), Some(2.5)]);
    let other = Reading {
        value: Some("load".to_owned()),
        ..named
    };
    assert!(
        told(text, &other)
            .contains("\"load\": it is not there, give one of [\"clients\", \"when\", \"rate\"]")
    );
}

#[test]
fn times_with_an_offset_are_taken_by_it() {
    let text = "t,v\n2026-10-25T02:50:00+02:00,1\n2026-10-25T02:00:00+01:00,2\n";
    let series = read(text.as_bytes(), &reading(600)).expect("the clock is set back, time is not");
    assert_eq!(series.values, [Some(1.0), Some(2.0)]);
}

#[test]
fn a_clock_that_was_set_back_without_saying_so_is_refused() {
    for text in [
        "t,v\n2026-10-25T02:50:00,1\n2026-10-25T02:00:00,2\n",
        "t,v\n2026-10-25T02:00:00,1\n2026-10-25T02:00:00,2\n",
    ] {
        let told = told(text, &reading(3600));
        assert!(
            told.contains("line 3, column \"t\"") && told.contains("the clock went back"),
            "{told}"
        );
        assert!(
            told.contains("give times in UTC, or with their offset"),
            "{told}"
        );
    }
    let days = "t,v\n2026-10-25T02:50:00,1\n2026-10-23T02:00:00,2\n";
    assert!(
        told(days, &reading(600)).contains("sort the rows"),
        "no clock goes back a day"
    );
}

#[test]
fn duplicated_and_reordered_rows_are_refused_with_their_line() {
    assert!(
        told("t,v\n0,1\n600,2\n600,2\n", &reading(600))
            .contains("line 4, column \"t\", value \"600\": the line before has the same time")
    );
    assert!(
        told("t,v\n0,1\n1200,2\n600,2\n", &reading(600))
            .contains("line 4, column \"t\", value \"600\": it is before")
    );
}

#[test]
fn a_first_row_is_never_taken_for_a_header() {
    assert!(told("0,1\n600,2\n1200,3\n", &reading(600)).contains("give a header line"));
}

#[test]
fn what_is_no_load_is_refused_with_its_remedy() {
    assert!(
        told("t,v\n0,1\n600,-2\n", &reading(600)).contains("value \"-2\": load cannot be negative")
    );
    assert!(told("t,v\n0,1\n600,inf\n", &reading(600)).contains("give a finite number"));
    assert!(told("t,v\n0,1\n600,1e308\n", &reading(600)).contains("at most 1e18"));
    assert!(
        told("t,v\n0,1\nnoon,1\n", &reading(600))
            .contains("value \"noon\": give seconds, or a date and time")
    );
    assert!(
        told("t,v\n1732435200000,1\n1732435800000,1\n", &reading(600))
            .contains("divide milliseconds by 1000")
    );
}

#[test]
fn nan_and_nothing_are_gaps_and_zero_is_one_when_said_so() {
    let text = "t,v\n0,1\n600,NaN\n1200,\n1800,0\n2400,2\n";
    let series = read(text.as_bytes(), &reading(600)).expect("is read");
    assert_eq!(series.values, [Some(1.0), None, None, Some(0.0), Some(2.0)]);
    let zero_is_gap = Reading {
        zero_is_gap: true,
        ..reading(600)
    };
    let series = read(text.as_bytes(), &zero_is_gap).expect("is read");
    assert_eq!(series.values, [Some(1.0), None, None, None, Some(2.0)]);
}

#[test]
fn a_counter_that_is_reset_counts_on_from_zero() {
    let text = "t,v\n0,1000\n600,1600\n1200,2200\n1800,300\n2400,900\n";
    let counter = Reading {
        counter: true,
        ..reading(600)
    };
    let series = read(text.as_bytes(), &counter).expect("is read");
    assert_eq!(series.values, [Some(1.0), Some(1.0), Some(0.5), Some(1.0)]);
}

#[test]
fn a_rise_belongs_to_the_slot_in_which_it_was_counted() {
    let of = |text: &str| {
        let counter = Reading {
            counter: true,
            ..reading(600)
        };
        read(text.as_bytes(), &counter).expect("is read")
    };
    // 600 requests between 0 and 600 s, none after.
    let series = of("t,v\n0,0\n600,600\n1200,600\n");
    assert_eq!(
        (series.begin.as_second(), series.values),
        (0, vec![Some(1.0), Some(0.0)])
    );
    let late = of("t,v\n1,0\n601,600\n1199,600\n1801,600\n");
    assert_eq!(late.values, [Some(1.0), Some(0.0), Some(0.0)]);
    let finer = of("t,v\n0,0\n300,600\n600,600\n900,1200\n1200,1800\n");
    assert_eq!(finer.values, [Some(1.0), Some(2.0)]);
    let missing = of("t,v\n0,0\n600,600\n2400,600\n3000,1200\n");
    assert_eq!(
        missing.values,
        [Some(1.0), None, Some(0.0), None, Some(1.0)]
    );
}

#[test]
fn a_trace_of_another_form_is_refused_with_what_it_has() {
    assert!(told("", &reading(600)).contains("table with a column of times"));
    assert!(told("just words\nand more\n", &reading(600)).contains("[\"just words\"]"));
    assert!(told("t,v\n0,1\n600\n", &reading(600)).contains("failed to read it as CSV"));
    assert!(told("t,v\n0,1\n", &reading(600)).contains("1 rows"));
    assert!(told("t,v\n", &reading(600)).contains("0 rows"));
    let far = told("t,v\n0,1\n600,1\n1200,1\n2000000400,1\n", &reading(600));
    assert!(far.contains("of its 3333335 slots 4 have a value"), "{far}");
    let twice = told("t,v,t\n0,1,0\n600,1,600\n", &reading(600));
    assert!(twice.contains("column \"t\": more than one"), "{twice}");
    let long = told(
        &format!("t,v\n0,1\n600,{}x\n", "9".repeat(1000)),
        &reading(600),
    );
    assert!(long.len() < 200 && long.contains("9…"), "{long}");
    let binary = read(&[0xff, 0xfe, 0x00, b'\n', 0xff, b',', 0xff], &reading(600));
    assert!(binary.is_err());
}

#[test]
fn a_step_that_the_rows_cannot_fill_is_refused() {
    assert!(told("t,v\n0,1\n600,1\n1200,1\n", &reading(300)).contains("rows are 600 s apart"));
    assert!(told("t,v\n0,1\n600,1\n", &reading(7)).contains("divides a day"));
    assert!(told("t,v\n0,1\n700,1\n", &Reading::default()).contains("step 700 s"));
    assert!(told("t,v\n0,1\n600,1\n1200,1\n200000000000,1\n", &reading(600)).contains("slots"));
}

#[test]
fn times_on_no_grid_are_refused_with_a_step_that_has_a_row_in_each_slot() {
    let of = |times: &[u32], reading: &Reading| {
        let rows: Vec<String> = times.iter().map(|time| format!("{time},1\n")).collect();
        read(format!("t,v\n{}", rows.concat()).as_bytes(), reading)
    };
    let jittered: Vec<u32> = (1..200).map(|row| row * 600 - 7 * (row % 3)).collect();
    let around_a_step: Vec<u32> = (1..200).map(|row| row * 600 - row % 2).collect();
    for (times, step) in [(jittered, 900), (around_a_step, 960)] {
        let refused = of(&times, &Reading::default()).expect_err("is refused");
        let told = refused.to_string();
        assert!(
            told.contains("on no regular grid: rows are mostly")
                && told.contains(&format!("give a step of {step} s")),
            "{told}"
        );
        let series = of(&times, &reading(step)).expect("is read");
        assert!(series.values.iter().all(Option::is_some));
    }
    let seldom: Vec<u32> = (1..200)
        .map(|row| row * 600 + u32::from(row == 90))
        .collect();
    assert_eq!(of(&seldom, &Reading::default()).expect("is read").step, 600);
    let finer: Vec<u32> = (1..200).map(|row| row * 50 + 7 * (row % 2)).collect();
    assert_eq!(of(&finer, &Reading::default()).expect("is read").step, 60);
}

#[test]
fn rows_that_are_too_far_apart_are_refused_once_and_for_all() {
    let text = "t,v\n0,1\n86400,1\n172800,1\n";
    for reading in [Reading::default(), reading(21_600)] {
        assert!(told(text, &reading).contains("give a finer recording"));
    }
}

proptest! {
    #[test]
    fn whatever_a_file_holds_nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), text in "[tv0-9,.;\\-+eE\n\" :TZ]{0,200}") {
        let _ = read(&bytes, &reading(600));
        let _ = read(format!("t,v\n{text}").as_bytes(), &Reading::default());
    }
}
