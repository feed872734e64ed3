//! The selections of training cases: ways to select, percentages, and random draws.

use pdl_curriculum::metrics::Metrics;
use pdl_curriculum::pacing::Share;
use pdl_curriculum::parameters::{Order, RankParameters};
use pdl_similarity::metrics::Metric;

/// Name of the selection of all training cases.
pub const ALL: &str = "all";
/// Name of the stratified random draws.
pub const RANDOM: &str = "random";
/// Name of k-centre by the Dice of label maps.
const LABEL_K_CENTRE: &str = "label-k-centre";

/// Which subsets are trained on.
#[derive(Clone, Debug, PartialEq, clap::Args)]
pub struct SubsetsRequest {
    /// Percentages of the training cases to keep, each from 1 to 99.
    #[arg(long, value_delimiter = ',', default_value = "10,20,40", value_parser = clap::value_parser!(u32).range(1..100), value_name = "PERCENT[,PERCENT]", help_heading = "Subsets")]
    pub keep: Vec<u32>,
    /// Number of random draws at each percentage, stratified by patient and label.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u64).range(2..), help_heading = "Subsets")]
    pub draws: u64,
    /// Number of seeds with which each subset is trained.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Subsets")]
    pub seeds: u64,
}

/// Training cases that are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    /// Name of the way to select.
    pub order: String,
    /// Percentage of the training cases.
    pub percent: u32,
    /// Number of the random draw, from 1.
    pub draw: Option<u64>,
    /// Parameters of its ranking.
    pub parameters: RankParameters,
}

impl Selection {
    /// Name in rows.
    pub fn name(&self) -> String {
        let draw = self.draw.map_or(String::new(), |draw| format!(", draw {draw}"));
        format!("{} {}%{draw}", self.order, self.percent)
    }

    /// Name of the folder of its manifest.
    pub fn folder(&self) -> String {
        let draw = self.draw.map_or(String::new(), |draw| format!("-{draw}"));
        format!("subset-{}-{}{draw}", self.order, self.percent)
    }
}

/// All selections of a request, and why ways to select are left out. `metrics` are those of the
/// cohort's pairs.
pub fn selections(request: &SubsetsRequest, metrics: &[Metric]) -> (Vec<Selection>, Vec<String>) {
    let (ways, left_out) = ways(metrics);
    let all = Selection {
        order: ALL.to_owned(),
        percent: 100,
        draw: None,
        parameters: RankParameters { order: Order::Random, ..RankParameters::default() },
    };
    let mut selections = vec![all];
    for &percent in &request.keep {
        let keep = Some(Share::Percent(f64::from(percent)));
        for (order, parameters) in &ways {
            let parameters = RankParameters { keep, ..parameters.clone() };
            selections.push(Selection { order: (*order).to_owned(), percent, draw: None, parameters });
        }
        for draw in 1..=request.draws {
            let order = Order::RandomStratified;
            let parameters = RankParameters { order, order_seed: draw, keep, ..RankParameters::default() };
            selections.push(Selection { order: RANDOM.to_owned(), percent, draw: Some(draw), parameters });
        }
    }
    (selections, left_out)
}

/// The ways to select by similarities, by name.
fn ways(metrics: &[Metric]) -> (Vec<(&'static str, RankParameters)>, Vec<String>) {
    let by = |order, metric: Metrics| RankParameters { order, metric, ..RankParameters::default() };
    let usual = || RankParameters::default().metric;
    let mut ways = vec![
        ("typical", by(Order::Typical, usual())),
        ("k-centre", by(Order::KCentre, usual())),
        ("facility-location", by(Order::FacilityLocation, usual())),
    ];
    if metrics.contains(&Metric::LabelDice) {
        ways.push((LABEL_K_CENTRE, by(Order::KCentre, Metric::LabelDice.into())));
        return (ways, Vec::new());
    }
    let why = format!(
        "{LABEL_K_CENTRE} is skipped: the pairs have no column label_dice (`pdl curate --metrics` with label-dice makes \
         it)"
    );
    (ways, vec![why])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_selection_has_a_folder_of_its_own() {
        let request = SubsetsRequest { keep: vec![10, 40], draws: 3, seeds: 2 };
        let (found, left_out) = selections(&request, &[Metric::Ssim, Metric::LabelDice]);
        assert_eq!((found.len(), left_out.len()), (1 + 2 * (4 + 3), 0));
        let folders: BTreeSet<String> = found.iter().map(Selection::folder).collect();
        assert_eq!(folders.len(), found.len());
        assert!(folders.iter().all(|name| pdl_store::safe_name::is_safe(name)));
        let (found, left_out) = selections(&request, &[Metric::Ssim]);
        assert_eq!(found.len(), 1 + 2 * (3 + 3));
        assert!(left_out[0].contains("label_dice"));
    }
}
