//! Ids of executors, which include their instruction sets.
//!
//! ```text
//! UNIQUE-ISA+ISA...    such as 0197f2c4a1b3-avx2+scalar
//! ```

use ballista_core::ids::new_instance_id;
use clap::ValueEnum;
use pdl_similarity::isa::Isa;

/// A new id of an executor that computes with these instruction sets.
pub fn new_executor_id(isas: &[Isa]) -> String {
    let names: Vec<String> = isas.iter().map(Isa::to_string).collect();
    format!("{}-{}", new_instance_id(), names.join("+"))
}

/// The instruction sets of the executor with this id; none for an id of another program.
pub fn instruction_sets(id: &str) -> Vec<Isa> {
    let names = id.rsplit_once('-').map_or("", |(_, names)| names);
    names.split('+').filter_map(|name| Isa::from_str(name, false).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_the_instruction_sets_of_its_executor() {
        let isas = [Isa::Avx2, Isa::Scalar];
        let (one, other) = (new_executor_id(&isas), new_executor_id(&isas));
        assert_ne!(one, other);
        assert_eq!(instruction_sets(&one), isas);
        for foreign in ["", "0197f2c4", "0197-f2c4", "a-b-"] {
            assert!(instruction_sets(foreign).is_empty(), "{foreign}");
        }
    }
}
