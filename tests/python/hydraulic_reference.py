"""Makes crates/heat-hydraulics/fixtures/reference.csv: example networks with the pressures and flows that EPANET and
pandapipes give them. Needs the PyPI packages wntr 1.5.0 (it carries EPANET 2.2) and pandapipes 0.16.0; the test that reads
the file needs neither.

    python tests/python/hydraulic_reference.py > crates/heat-hydraulics/fixtures/reference.csv
    python tests/python/hydraulic_reference.py --speed          the reference tools' own time per solution

EPANET's Net1, Net2 and Net3 are public domain (US EPA). They are written for Hazen-Williams; here EPANET itself runs them
with Darcy-Weisbach and a roughness of 0.1 to 0.4 mm. The networks of pandapipes are BSD-3-Clause; it runs them
with the same friction formula (Swamee-Jain), which it does not join to the laminar one, so flows are set that are turbulent.

Rows, all in SI units, nodes and links numbered in their order:
  network,name,density,viscosity      held,elevation,pressure      node,elevation,demand,pressure found
  pipe,from,to,open|closed,flow found,length,diameter,roughness,local loss
  pump,from,to,open|closed,flow found,lift without flow,coefficient,exponent
"""
import copy, sys, time, warnings
warnings.filterwarnings('ignore')
import numpy as np

G = 9.80665
EPANET_G = 32.2 * 0.3048            # what EPANET's loss of head uses
PANDAPIPES_G = 9.81                 # what the weight of pandapipes' water columns uses


def num(x):
    return f'{x:.9g}'


def epanet(name, hours):
    import wntr
    from wntr.sim import EpanetSimulator
    rho, nu = 1000.0, 1.1e-5 * 0.3048 ** 2
    wn = wntr.network.WaterNetworkModel(name)
    wn.options.hydraulic.headloss = 'D-W'
    wn.options.hydraulic.accuracy = 1e-8
    wn.options.time.duration = max(hours) * 3600
    wn.options.time.hydraulic_timestep = wn.options.time.report_timestep = 3600
    wn.options.quality.parameter = 'NONE'
    for i, pipe in enumerate(wn.pipe_name_list):
        wn.get_link(pipe).roughness = 1e-4 * (1 + i % 4)
    res = EpanetSimulator(wn).run_sim(file_prefix='/tmp/hydraulic-reference')
    ids = {n: i for i, n in enumerate(wn.node_name_list)}
    for hour in hours:
        t = hour * 3600
        head, demand = res.node['head'].loc[t], res.node['demand'].loc[t]
        flow, status = res.link['flowrate'].loc[t], res.link['status'].loc[t]
        print(f'network,EPANET 2.2 {name} at {hour} h,{num(rho)},{num(rho * nu)}')
        for n, node in wn.nodes():
            z = getattr(node, 'elevation', 0.0)
            p = rho * G * (float(head[n]) - z)
            if node.node_type == 'Junction':
                print(f'node,{num(z)},{num(rho * float(demand[n]))},{num(p)}')
            else:
                print(f'held,{num(z)},{num(p)}')
        for n, link in wn.links():
            open_ = 'open' if status[n] != 0 else 'closed'
            row = f'{ids[link.start_node_name]},{ids[link.end_node_name]},{open_},{num(rho * float(flow[n]))}'
            if link.link_type == 'Pipe':
                # A head of EPANET's gravity is a pressure of standard gravity here; the loss must not notice.
                length = link.length * G / EPANET_G
                print(f'pipe,{row},{num(length)},{num(link.diameter)},{num(link.roughness)},{num(link.minor_loss * G / EPANET_G)}')
            elif link.link_type == 'Pump':
                a, b, c = link.get_head_curve_coefficients()
                print(f'pump,{row},{num(rho * G * a)},{num(rho * G * b / rho ** c)},{num(c)}')
            else:
                raise SystemExit(f'{name}: no row for a {link.link_type}')


def pandapipes_cases():
    import pandapipes as pp, pandapipes.networks as nw
    yield 'water_meshed_delta', nw.water_meshed_delta(), 30.0
    yield 'water_meshed_heights', nw.water_meshed_heights(), 2.0
    yield 'water_combined_mixed', nw.water_combined_mixed(), 3.0
    yield 'water_2eg_two_pipes', nw.water_2eg_two_pipes(), 1.0
    yield 'water_tcross_valves', nw.water_tcross_valves(), 1.0
    yield 'schutterwald_heat', nw.schutterwald_heat(), 15.0


def pandapipes(name, net, factor):
    import pandapipes as pp
    from pandapipes.component_models.component_toolbox import p_correction_height_air
    for table in ('sink', 'source'):
        if table in net and len(net[table]):
            net[table].mdot_kg_per_s *= factor
    consumers = net.heat_consumer if 'heat_consumer' in net else []
    celsius = 40.0 if len(consumers) else 20.0
    net.junction.tfluid_k = 273.15 + celsius
    if len(consumers):
        net.heat_consumer.controlled_mdot_kg_per_s = 0.15 * factor * (1 + np.arange(len(consumers)) % 5 / 5)
        net.heat_consumer.qext_w = 20e3
        net.heat_consumer.deltat_k = np.nan
        net.heat_consumer.treturn_k = np.nan
    pp.pipeflow(net, mode='hydraulics', friction_model='swamee-jain', tol_p=1e-9, tol_m=1e-9, max_iter_hyd=200)
    rho = float(np.mean(net.fluid.get_density(273.15 + celsius)))
    eta = float(np.mean(net.fluid.get_viscosity(273.15 + celsius)))
    j = net.junction[net.junction.in_service]
    j = j[np.isfinite(net.res_junction.p_bar.loc[j.index])]
    ids = {n: i for i, n in enumerate(j.index)}
    # pandapipes counts from the air's pressure at each height, we from the air's at height 0 everywhere: 12 Pa a metre.
    air = lambda n: (p_correction_height_air(net.junction.height_m[n]) - p_correction_height_air(0.0)) * 1e5
    demand, held = {n: 0.0 for n in j.index}, {}
    for r in net.ext_grid.itertuples() if 'ext_grid' in net else []:
        held[r.junction] = r.p_bar
    if 'circ_pump_pressure' in net:
        for r in net.circ_pump_pressure.itertuples():
            held[r.flow_junction] = r.p_flow_bar
            held[r.return_junction] = r.p_flow_bar - r.plift_bar
    for table, sign in (('sink', 1), ('source', -1)):
        for r in net[table].itertuples() if table in net else []:
            demand[r.junction] += sign * r.mdot_kg_per_s * r.scaling
    for r in consumers.itertuples() if len(consumers) else []:
        demand[r.from_junction] += r.controlled_mdot_kg_per_s
        demand[r.to_junction] -= r.controlled_mdot_kg_per_s
    print(f'network,pandapipes 0.16.0 {name},{num(rho)},{num(eta)}')
    for n, r in j.iterrows():
        p = float(net.res_junction.p_bar[n]) * 1e5 + air(n)
        z = r.height_m * PANDAPIPES_G / G
        if n in held:
            print(f'held,{num(z)},{num(held[n] * 1e5 + air(n))}')
        else:
            print(f'node,{num(z)},{num(demand[n])},{num(p)}')
    lowest = np.inf
    def pipe(a, b, open_, flow, length, d, k, zeta):
        nonlocal lowest
        if open_ and abs(flow) > 1e-6:
            lowest = min(lowest, abs(flow) * d / (eta * np.pi / 4 * d * d))
        if a in ids and b in ids:
            print(f'pipe,{ids[a]},{ids[b]},{"open" if open_ else "closed"},{num(flow)},{num(length)},{num(d)},{num(k)},{num(zeta)}')
    for i, r in net.pipe.iterrows():
        pipe(r.from_junction, r.to_junction, bool(r.in_service), float(net.res_pipe.mdot_from_kg_per_s[i]), r.length_km * 1e3,
             r.inner_diameter_mm / 1e3, r.k_mm / 1e3, r.loss_coefficient)
    if 'valve' in net:
        for i, r in net.valve.iterrows():
            d = r.inner_diameter_mm / 1e3
            pipe(r.junction, r.element, bool(r.opened), float(np.nan_to_num(net.res_valve.mdot_from_kg_per_s[i])), 1e-6, d, 1e-6, r.loss_coefficient)
    print(f'{name}: lowest Reynolds number {lowest:.0f}', file=sys.stderr)


def grid(side):
    """A square mesh of about 2 side^2 pipes, alike for all."""
    edges = []
    for i in range(side):
        for k in range(side):
            if i + 1 < side:
                edges.append((i * side + k, (i + 1) * side + k))
            if k + 1 < side:
                edges.append((i * side + k, i * side + k + 1))
    return side * side, edges


def speed():
    import wntr, pandapipes as pp
    side = 23                              # 529 nodes, 1,012 pipes
    nodes, edges = grid(side)
    wn = wntr.network.WaterNetworkModel()
    wn.options.hydraulic.headloss = 'D-W'
    wn.add_reservoir('0', base_head=80.0)
    for n in range(1, nodes):
        wn.add_junction(str(n), base_demand=(0.2 + n % 7 * 0.1) / 1000)
    for e, (a, b) in enumerate(edges):
        wn.add_pipe(f'p{e}', str(a), str(b), length=80.0 + e % 5 * 20, diameter=0.1 + e % 3 * 0.05, roughness=1e-4)
    hours = 200
    for h in (0, hours):
        wn.options.time.duration = h * 3600
        if h == 0:
            wn.options.hydraulic.demand_multiplier = 1.0
        t = time.process_time(); wntr.sim.EpanetSimulator(wn).run_sim(file_prefix='/tmp/hydraulic-reference'); t = time.process_time() - t
        if h == 0:
            base = t
    print(f'EPANET 2.2: {1e3 * (t - base) / hours:.2f} ms CPU per solution (difference of runs of {hours} h and 0 h; files included; warm)')
    net = pp.create_empty_network(fluid='water')
    pp.create_junctions(net, nodes, pn_bar=8, tfluid_k=353.15)
    pp.create_ext_grid(net, 0, p_bar=8, t_k=353.15)
    for n in range(1, nodes):
        pp.create_sink(net, n, mdot_kg_per_s=0.2 + n % 7 * 0.1)
    for e, (a, b) in enumerate(edges):
        pp.create_pipe_from_parameters(net, a, b, length_km=(80.0 + e % 5 * 20) / 1e3, inner_diameter_mm=1e3 * (0.1 + e % 3 * 0.05), k_mm=0.1)
    opts = dict(mode='hydraulics', friction_model='swamee-jain', tol_p=1e-6, tol_m=1e-6, max_iter_hyd=100)
    pp.pipeflow(net, **opts)
    t = time.process_time()
    for _ in range(10):
        pp.pipeflow(net, **opts)
    print(f'pandapipes 0.16.0: {1e3 * (time.process_time() - t) / 10:.1f} ms CPU per solution (from nothing)')


if __name__ == '__main__':
    if '--speed' in sys.argv:
        speed()
    else:
        print('# Made by tests/python/hydraulic_reference.py, which says what the rows mean.')
        epanet('Net1', [0, 6, 13]); epanet('Net2', [0, 9]); epanet('Net3', [0, 5, 14])
        for case in pandapipes_cases():
            pandapipes(*case)
