//! Scenarios: a clean series to which one thing happens, and what must be said of it. Ten seeds
//! each; docs/scenarios.md has what is found.
//!
//! `SAIMON_SCENARIOS=FILE cargo test --test scenarios table` writes that table.

#[path = "scenarios/absence.rs"]
mod absence;
#[path = "scenarios/demo.rs"]
mod demo;
#[path = "scenarios/list.rs"]
mod list;
#[path = "scenarios/play.rs"]
mod play;

macro_rules! scenarios {
    ($($test:ident: $scenario:ident),* $(,)?) => {
        $(#[test] fn $test() { play::holds(&list::$scenario); })*

        #[test]
        fn every_scenario_of_the_list_is_a_test() {
            let tested = [$(list::$scenario.name),*];
            for scenario in list::ALL {
                assert!(tested.contains(&scenario.name), "{}", scenario.name);
            }
        }
    };
}

scenarios! {
    a_spike_is_found: SPIKE,
    a_dip_is_found: DIP,
    a_level_of_two_sigma_is_found: LEVEL_2,
    a_level_of_four_sigma_is_found: LEVEL_4,
    a_level_of_four_sigma_is_found_at_15_s: LEVEL_4_FAST,
    a_leak_of_one_sigma_a_day_is_found: LEAK_1,
    a_leak_of_three_sigma_a_day_is_found: LEAK_3,
    a_leak_of_memory_in_a_week_is_found_in_two_days: MEMORY_LEAK,
    a_leak_of_memory_in_noise_is_found: MEMORY_LEAK_NOISY,
    wider_noise_is_found: VARIANCE_3,
    a_missing_peak_is_found: MISSING_PEAK,
    sixty_percent_at_three_in_the_morning_is_found: THREE_AM,
    the_lunch_hour_is_quiet: LUNCH,
    a_flatline_is_found: FLATLINE,
    another_frequency_is_found: FREQUENCY,
    another_frequency_in_noise_is_found: FREQUENCY_NOISY,
    a_counter_reset_is_quiet: COUNTER_RESET,
    a_restart_of_the_target_is_quiet: TARGET_RESTART,
    a_gap_and_return_are_quiet: GAP,
    a_gap_in_a_day_is_quiet: GAP_DAILY,
    a_first_step_of_a_constant_is_found: FIRST_STEP,
    a_sparse_counter_is_quiet: SPARSE,
    a_heavy_tail_is_quiet: HEAVY_TAIL,
    whole_percents_are_quiet: PERCENT,
    a_deploy_that_stays_is_found_and_becomes_normal: DEPLOY,
}

/// A restart of saimon in the middle: the state written and read gives the same judgements.
#[test]
fn a_restart_of_saimon_changes_nothing() {
    play::restarted(&list::THREE_AM);
    play::restarted(&list::LUNCH);
}

#[test]
fn table() {
    let Some(path) = std::env::var_os("SAIMON_SCENARIOS") else {
        return;
    };
    let mut text = String::from(
        "| what happens | expected (delays in samples) | runs needed | runs as expected | found |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for scenario in list::ALL {
        text.push_str(&play::row(scenario));
        text.push('\n');
    }
    std::fs::write(path, text).expect("a path that can be written");
}
