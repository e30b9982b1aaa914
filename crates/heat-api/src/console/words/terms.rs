//! What detectors, their evidence, kinds and gaps are called; their own word where there is none better.

use std::borrow::Cow;

use super::{Lang, signal};

type Term = (&'static str, &'static str, &'static str);

const DETECTORS: [Term; 17] = [
    ("burst", "爆管", "Burst"),
    ("balance", "水量平衡", "Water balance"),
    ("water_balance", "水量平衡", "Water balance"),
    ("night_flow", "夜间最小流量", "Minimum night flow"),
    ("steam_balance", "蒸汽平衡", "Steam balance"),
    ("circulation", "循环", "Circulation"),
    ("pressure_regime", "压力工况", "Pressure regime"),
    ("frost", "防冻", "Frost"),
    ("thermal", "温度工况", "Temperatures"),
    ("homes", "室温", "Homes"),
    ("signal_quality", "信号质量", "Signal quality"),
    ("silence", "数据中断", "Silence"),
    ("clock", "时钟", "Clocks"),
    ("station_behaviour", "热力站行为", "Station behaviour"),
    ("tickets", "工单", "Tickets"),
    ("location", "定位", "Location"),
    ("operator", "人工", "Operator"),
];

const EVIDENCE: [Term; 42] = [
    ("pressure_drop", "压力下降", "Pressure down"),
    ("pressure_rise", "压力上升", "Pressure up"),
    ("make_up_surge", "补水量突增", "Make-up up"),
    ("make_up_rise", "补水量突增", "Make-up up"),
    ("make_up_excess", "补水量高于基线", "Make-up above its baseline"),
    ("secondary_make_up_excess", "二次网补水高于基线", "Secondary make-up above its baseline"),
    ("make_up_at_its_limit", "补水已达上限", "Make-up at its limit"),
    ("sensor_at_fault", "传感器故障的可能性", "Chance that a sensor is at fault instead"),
    ("plant_at_fault", "设备本身异常的可能性", "Chance that the plant itself is at fault"),
    ("make_up_meter_at_fault", "补水表自身故障的可能性", "Chance that the make-up meter is at fault"),
    ("unmetered_filling", "未计量的补水", "Filling that is not metered"),
    ("steam_unaccounted", "蒸汽供出与计量之差高于常态", "Steam unaccounted for above its usual"),
    ("condensate_missing", "未回收凝结水高于常态", "Condensate missing above its usual"),
    ("condensate_return", "凝结水回收率", "Condensate returned"),
    ("condensate_return_usual", "平时凝结水回收率", "Condensate usually returned"),
    ("night_flow_excess", "夜间最小流量高于基线", "Night flow above its baseline"),
    ("tank_uptake", "夜间进入水箱", "Taken up by tanks at night"),
    ("tank_area", "水箱面积（学习所得）", "Tank's area, learned"),
    ("further_loss", "漏失再次突增", "Lost on top at once"),
    ("grown_from", "上次报警时漏失", "Lost when last called"),
    ("share_of_circulation", "占循环量", "Share of the circulation"),
    ("share_of_inflow", "占平均进水量", "Share of the mean inflow"),
    ("flow_step", "供回水流量差突增", "Supply-return difference up"),
    ("loss_found", "现场实测失水", "Loss found on site"),
    ("excess_flow", "无效流量", "Flow that carries no heat"),
    ("off_its_usual", "偏离常态", "Off its usual"),
    ("circulation_stands", "循环停止", "Circulation stands"),
    ("pump_stands", "水泵停止", "Pump stands"),
    ("excess_heat", "多耗热量", "Heat delivered for nothing"),
    ("excess_flow_total", "累计无效流量", "Flow that carried no heat so far"),
    ("excess_heat_total", "累计多耗热量", "Heat delivered for nothing so far"),
    ("heating_ended", "已停止供热", "Heating has ended for"),
    ("not_judged", "长期无可判数据", "Nothing heard of it for"),
    ("homes_below_promise", "低于承诺室温的住户占比", "Homes below the promise"),
    ("near_less_far", "近端与远端温差", "Near homes less far ones"),
    ("return_cold", "回水过冷", "Return is cold"),
    ("supply_reads", "供水读数", "Supply reads"),
    ("return_reads", "回水读数", "Return reads"),
    ("impossible", "读数", "Reads"),
    ("rate", "跳增", "Leapt by"),
    ("primary_at_most", "其一次侧近期最高", "Its primary was at most"),
    ("above_saturation", "高出饱和压力", "Above saturation"),
];

const KINDS: [Term; 31] = [
    ("flashing", "汽化", "flashing"),
    ("emptying", "倒空", "emptying"),
    ("overpressure", "超压", "overpressure"),
    ("high_return", "回水偏高", "high return"),
    ("fouled", "换热器结垢", "fouled exchanger"),
    ("short_circuit", "短路", "short circuit"),
    ("stuck_valve", "阀门卡涩", "stuck valve"),
    ("overheating", "过热", "overheating"),
    ("below_set_point", "低于设定", "below set point"),
    ("pump_failure", "循环泵故障", "pump failure"),
    ("blocked_strainer", "除污器堵塞", "blocked strainer"),
    ("imbalance", "水力失调", "hydraulic imbalance"),
    ("cold_arrival", "到站供温偏低", "water arrives too cold"),
    ("cold_supply", "供温偏低", "supply too cold"),
    ("hot_supply", "供温偏高", "supply too hot"),
    ("secondary", "二次网", "secondary"),
    ("steam", "蒸汽", "steam"),
    ("condensate", "凝结水", "condensate"),
    ("sentinel", "无效值", "no measurement"),
    ("frozen", "只重复旧值", "only repeats itself"),
    ("stuck", "读数不变", "stuck"),
    ("spikes", "尖峰", "spikes"),
    ("range", "超出可能范围", "impossible values"),
    ("rate", "变化过快", "changed too fast"),
    ("impossible", "二次侧高于一次侧", "hotter than its primary"),
    ("unit_slip", "单位错误", "wrong unit"),
    ("counter_reset", "计数器复位", "counter reset"),
    ("swapped", "接反", "swapped"),
    ("bias", "偏差", "bias"),
    ("drift", "漂移", "drift"),
    ("cold", "不热", "cold homes"),
];

const LACKED: [Term; 7] = [
    ("pressure_evidence", "压力证据", "evidence from pressures"),
    ("hydraulic_solution", "水力计算", "a hydraulic solution"),
    ("elevations", "高程", "elevations"),
    ("boiler_feed", "锅炉补水计量等旁证", "a second witness, such as a metered boiler feed"),
    ("witness_flows", "核对补水表的流量", "flows to check the make-up by"),
    ("load_range", "该负荷下的流量表比对", "a comparison of the flow meters at such a load"),
    ("pipes", "管段资料", "pipes in the plant tables"),
];

fn find<'a>(terms: &[Term], lang: Lang, word: &'a str) -> Option<&'a str> {
    let (_, chinese, english) = terms.iter().find(|(known, _, _)| *known == word)?;
    Some(lang.pick(chinese, english))
}

/// What a detector is called; a user is called as he is.
pub(crate) fn detector(lang: Lang, name: &str) -> &str {
    find(&DETECTORS, lang, name).unwrap_or(name)
}

/// What a finding is called.
pub(crate) fn evidence(lang: Lang, what: &str) -> &str {
    find(&EVIDENCE, lang, what).unwrap_or(what)
}

/// What a kind within a class is called.
pub(crate) fn kind(lang: Lang, kind: &str) -> Cow<'_, str> {
    find(&KINDS, lang, kind).map_or_else(|| kind.replace('_', " ").into(), Cow::from)
}

/// What was missing when an incident was judged.
pub(crate) fn lacked(lang: Lang, what: &str) -> String {
    find(&LACKED, lang, what).map_or_else(|| signal(lang, what), str::to_owned)
}
