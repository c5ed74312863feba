use super::*;

const A_DAY: f32 = 5760.0;

/// Noise of deviation 1, about.
fn noise(random: &mut fastrand::Rng) -> f32 {
    ((0..12).map(|_| random.f32()).sum::<f32>() - 6.0).clamp(-6.0, 6.0)
}

/// Six members that follow two hidden movements, and two that go their own ways.
struct Group {
    random: fastrand::Rng,
    hidden: [f32; 2],
}

impl Group {
    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            hidden: [0.0; 2],
        }
    }

    fn row(&mut self) -> [f32; MEMBERS_MAX] {
        let mut row = [f32::NAN; MEMBERS_MAX];
        for hidden in &mut self.hidden {
            *hidden = 0.95 * *hidden + 0.3 * noise(&mut self.random);
        }
        for (i, member) in row.iter_mut().enumerate().take(8) {
            let own = noise(&mut self.random);
            *member = match i {
                0..6 => self.hidden[i % 2] + 0.3 * own,
                _ => own,
            };
        }
        row
    }
}

fn taught(seed: u64) -> (Joint, Group) {
    let (mut joint, mut group) = (Joint::new(seed), Group::new(seed));
    for _ in 0..6000 {
        joint.take(&group.row(), 0.3, A_DAY);
    }
    (joint, group)
}

#[test]
fn a_member_that_leaves_the_others_at_a_plausible_value_is_found_and_named() {
    for seed in 0..10 {
        let (mut joint, mut group) = taught(seed);
        assert_eq!(joint.members(), 6, "seed {seed}");
        let began = (0..10).find_map(|i| {
            let mut row = group.row();
            // Each is within its usual range.
            row[2] = if group.hidden[0] > 0.0 { -2.2 } else { 2.2 };
            let said = joint.take(&row, 0.4, A_DAY)?;
            said.began.then_some((i, said))
        });
        let (after, said) = began.unwrap_or_else(|| panic!("seed {seed}"));
        assert!(after <= 5, "seed {seed}: {after}");
        assert!(said.active && said.deviation >= 1.0);
        let most = (0..MEMBERS_MAX).max_by(|a, b| said.shares[*a].total_cmp(&said.shares[*b]));
        assert_eq!(most, Some(2), "seed {seed}");
        assert!((said.shares.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        let mut calm = (0..20).filter_map(|_| joint.take(&group.row(), 0.3, A_DAY));
        assert!(calm.any(|said| !said.active), "seed {seed}");
    }
}

#[test]
fn members_are_alike_that_follow_the_same_movement() {
    for seed in 0..10 {
        let (joint, _) = taught(seed);
        for (member, with) in joint.alike() {
            let same = [0b01_0101, 0b10_1010][member % 2];
            assert_eq!(with, same, "seed {seed}, member {member}");
        }
        assert_eq!(joint.alike().len(), 6);
    }
}

#[test]
fn ordinary_rows_are_over_the_line_as_seldom_as_it_says() {
    let (mut over, mut began, mut rows) = (0u32, 0u32, 0u32);
    for seed in 0..8 {
        let (mut joint, mut group) = taught(100 + seed);
        for _ in 0..20_000 {
            let said = joint.take(&group.row(), 0.3, A_DAY).unwrap();
            rows += 1;
            over += u32::from(said.deviation >= 1.0);
            began += u32::from(said.began);
        }
    }
    // One in ten thousand are 16.
    assert!(over <= 40, "{over} of {rows}");
    assert!(began <= 8, "{began} of {rows}");
}

#[test]
fn what_a_member_says_alone_is_not_said_twice() {
    let (mut joint, mut group) = taught(1);
    for _ in 0..10 {
        let mut row = group.row();
        row[2] = 7.0;
        let said = joint.take(&row, 1.5, A_DAY).unwrap();
        assert!(!said.began);
    }
}

#[test]
fn series_that_go_their_own_ways_have_no_relation() {
    let mut random = fastrand::Rng::with_seed(9);
    let mut joint = Joint::new(1);
    for _ in 0..3000 {
        let mut row = [f32::NAN; MEMBERS_MAX];
        row[..20].iter_mut().for_each(|x| *x = noise(&mut random));
        assert_eq!(joint.take(&row, 0.3, A_DAY), None);
    }
    assert_eq!(joint.members(), 0);
}

#[test]
fn a_relation_that_has_changed_for_good_is_learned_anew() {
    let (mut joint, mut group) = taught(4);
    let mut active = 0;
    for _ in 0..12_000 {
        let mut row = group.row();
        row[2] = -row[2];
        active += u32::from(joint.take(&row, 0.3, A_DAY).is_some_and(|said| said.active));
    }
    assert!(active > 0);
    let mut row = group.row();
    row[2] = -row[2];
    assert!(!joint.take(&row, 0.3, A_DAY).unwrap().active);
    assert!(joint.members() >= 5, "{}", joint.members());
}

#[test]
fn a_member_that_goes_takes_the_relation_with_it_and_a_few_missing_ones_do_not() {
    let (mut joint, mut group) = taught(5);
    let mut row = group.row();
    row[0] = f32::NAN;
    assert!(joint.take(&row, 0.3, A_DAY).is_some());
    row[1] = f32::NAN;
    assert_eq!(joint.take(&row, 0.3, A_DAY), None);
    joint.vacate(7);
    assert_eq!(joint.members(), 6);
    joint.vacate(0);
    assert_eq!(joint.members(), 0);
    for _ in 0..3 * FIRST_FIT {
        let mut row = group.row();
        row[0] = f32::NAN;
        joint.take(&row, 0.3, A_DAY);
    }
    assert_eq!(joint.members(), 5);
}
