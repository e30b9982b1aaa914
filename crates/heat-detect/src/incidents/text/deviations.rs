//! Words for kinds of faults and for what was seen of signals, stations and sources.

/// Chinese and English of a kind; `None` for one that its class already says.
pub(super) fn kind(kind: &str) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "sentinel" => ("无效值代码", "a code for no value"),
        "stuck" => ("数值卡死", "the value stands still"),
        "spikes" => ("跳变", "spikes"),
        "range" => ("超出可能范围", "values that cannot be"),
        "rate" => ("变化过快，超出可能", "it changed faster than it can"),
        "impossible" => {
            ("二次侧读数高于供给它的一次侧，物理上不可能", "a secondary that reads hotter than what heats it")
        }
        "unit_slip" => ("单位或小数点错误", "wrong unit or decimal point"),
        "counter_reset" => ("累计值清零", "the counter began anew"),
        "swapped" => ("供回水传感器接反", "supply and return sensors swapped"),
        "bias" => ("偏差", "bias"),
        "drift" => ("漂移", "drift"),
        "frozen" => ("只重复旧值", "it only repeats what it last had"),
        "quantisation" => ("分辨率变粗", "it moves in coarser steps than before"),
        "hunting" => ("调节振荡", "control hunts"),
        "setback_lost" => ("夜间降温失效", "night set-back lost"),
        "below_heat_plan" => ("供热量低于计划", "less heat than planned"),
        "above_heat_plan" => ("供热量高于计划", "more heat than planned"),
        "capacity_reserve" => ("热源备用能力不足", "too little heat source in reserve"),
        "high_return" => ("回水温度偏高", "return too warm"),
        "fouled" => ("换热器结垢", "exchanger fouling"),
        "short_circuit" => ("一次侧旁通", "primary bypass"),
        "stuck_valve" => ("调节阀卡死", "control valve stuck"),
        "overheating" => ("过量供热", "too much heat"),
        "below_set_point" => ("二次供温低于设定", "secondary below its set point"),
        "pump_failure" => ("二次循环泵故障", "secondary circulation failed"),
        "blocked_strainer" => ("过滤器堵塞", "strainer blocked"),
        "imbalance" => ("水力失调，近热远冷", "hydraulic imbalance: near homes warm, far homes cold"),
        "cold_arrival" => ("到站供温偏低，热量正常", "water arrives too cold, and the heat is as it was"),
        "cold_supply" => ("供温偏低", "supply too cold"),
        "hot_supply" => ("供温偏高", "supply too hot"),
        "clock_ahead" => ("时钟超前", "clock ahead"),
        "clock_behind" => ("时钟滞后", "clock behind"),
        "clock_reset" => ("时钟复位", "clock was reset"),
        "local_time_as_utc" => ("本地时间误作UTC", "local time sent as UTC"),
        "seconds_as_milliseconds" => ("秒误作毫秒", "seconds sent as milliseconds"),
        _ => return None,
    })
}

/// Chinese and English of what was seen.
pub(super) fn words(what: &str) -> Option<(&'static str, &'static str)> {
    Some(match what {
        "supply_temperature_off" => ("一次供温偏离", "primary supply off by"),
        "return_temperature_off" => ("回温偏离", "return off by"),
        "heat_off" => ("热量偏离（对数）", "heat off by (log)"),
        "flow_against_valve_off" => ("流量与阀位不符（对数）", "flow against valve off by (log)"),
        "secondary_supply_off" => ("二次供温偏离设定", "secondary supply off its set point by"),
        "secondary_spread_off" => ("二次温差偏离", "secondary spread off by"),
        "supply_pressure_off" => ("供水压力偏离", "supply pressure off by"),
        "return_pressure_off" => ("回水压力偏离", "return pressure off by"),
        "arrived_temperature_off" => ("各站供温与热源不符", "arrived temperature off by"),
        "heat_meter_off" => ("热量表与流量温差不符（对数）", "heat meter off by (log)"),
        "supply_flow_against_stations_off" => {
            ("总流量与各站之和不符（对数）", "supply flow against stations off by (log)")
        }
        "supply_less_return_off" => {
            ("供回流量差偏离（占循环量）", "supply less return off by (of circulation)")
        }
        "supply_off_target" => ("供温偏离目标", "supply off its target by"),
        "supply_reads" => ("供水读数", "supply reads"),
        "return_reads" => ("回水读数", "return reads"),
        "excess_flow" => ("多耗流量", "excess flow"),
        "outdoor_temperature_off" => ("与其他室外测点偏离", "off the other outdoor sensors by"),
        "excess_heat" => ("多耗热量", "excess heat"),
        "excess_flow_total" => ("累计多耗流量", "excess flow so far"),
        "excess_heat_total" => ("累计多耗热量", "excess heat so far"),
        "heating_ended" => ("停止供热，不再判定，已停", "heating has ended, and judging with it, for"),
        "not_judged" => ("长期无可判数据，不再跟踪，已有", "given up, for nothing was heard of it for"),
        "quantisation" => ("步长", "step"),
        "rate" => ("跳增", "it leapt by"),
        "turns_by_hour" => ("每小时往复次数", "turns by hour"),
        "setback_usual" => ("平时夜间降幅", "usual set-back"),
        "setback_left" => ("现夜间降幅", "set-back left"),
        "heat_delivered" => ("实际供热", "heat delivered"),
        "heat_planned" => ("计划供热", "heat planned"),
        "heat_needed" => ("预计所需热负荷", "heat needed"),
        "heat_available" => ("可用热源能力", "heat available"),
        "coldest_day" => ("预计最冷日均气温", "coldest day ahead"),
        "homes_below_promise" => ("低于承诺室温的住户占比", "homes below the promise"),
        "near_less_far" => ("近端与远端室温差", "near less far homes"),
        "sensor_at_fault" => ("或为传感器故障的可能性", "or a sensor is wrong:"),
        "plant_at_fault" => ("或为设备本身异常的可能性", "or the plant itself is at fault:"),
        "primary_at_most" => ("其一次侧近期最高", "its primary was at most"),
        "stuck" | "sentinel" | "spikes" | "unit_slip" | "counter_reset" | "range" | "impossible" => {
            ("读数", "reads")
        }
        _ => return None,
    })
}

/// A value in the units that operators read.
pub(super) fn figure(what: &str, value: f64, unit: &str) -> String {
    match unit {
        "1" if what.ends_with("_at_fault") => format!("{:.0} %", 100.0 * value),
        "1" if what.starts_with("supply_less_return") => format!("{:+.2} %", 100.0 * value),
        "K" => format!("{value:+.1} K"),
        "degC" => format!("{value:.1} ℃"),
        "Pa" => format!("{:+.3} MPa", value / 1e6),
        "W" => format!("{:.2} MW", value / 1e6),
        "kg/s" => format!("{:.2} t/h", value * 3.6),
        "kg" => format!("{:.0} t", value / 1e3),
        "J" if what.ends_with("_total") => format!("{:.1} GJ", value / 1e9),
        "d" => format!("{value:.0} d"),
        "%" => format!("{value:.0} %"),
        "m3" => format!("{value:.1} m³"),
        "J" => format!("{:.2} GJ", value / 1e9),
        "1" => format!("{value:.3}"),
        _ => format!("{value}"),
    }
}
