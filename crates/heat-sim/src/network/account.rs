/// Where all water and heat went since the beginning; kg and J.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Account {
    /// Made up at the source.
    pub make_up_kg: f64,
    /// Relieved at the source.
    pub relief_kg: f64,
    /// Lost through holes.
    pub leak_kg: f64,
    /// Base loss.
    pub base_loss_kg: f64,
    /// Passed into secondaries, by topping up and through leaking exchangers.
    pub to_secondary_kg: f64,
    /// In the pipes and in the pressure holding, at present.
    pub stored_kg: f64,
    /// Given by the boilers.
    pub source_j: f64,
    /// Taken by stations.
    pub stations_j: f64,
    /// Lost to the ground.
    pub ground_j: f64,
    /// Carried out by lost water, above 0 degC.
    pub lost_water_j: f64,
    /// Held by the water in the pipes above 0 degC, at present.
    pub stored_j: f64,
}
