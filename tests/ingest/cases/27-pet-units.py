from kit import *

# A PET cohort of three scanners: BQML, GML (SUV already) and CNTS (Philips, with its private SUV
# factor 7053,1000). Values of a liver of SUV 2. Right: SUV for all, or at least a finding that
# units differ.
fresh()
for p, (units, value) in enumerate([("BQML", 10000), ("GML", 2), ("CNTS", 800)]):
    made = []
    for n in range(5):
        real = 1 + texture(n, low=0) * 0.01
        px = np.round(real * 1000).astype(np.uint16)
        slope = value / 1000.0 * (1 + 0.1 * n)      # a slope for each slice
        ds = slice_(n, 3.0 * n, px, cls=PT, modality="PT", patient=f"P{p}", study=p + 1, slope=f"{slope:.6g}", intercept=0)
        ds.Units = units; ds.DecayCorrection = "START"; ds.CorrectedImage = ["ATTN", "DECY"]; ds.SeriesType = ["WHOLE BODY", "IMAGE"]
        ds.PatientWeight = 70
        if units == "GML": ds.SUVType = "BW"
        if units == "CNTS":
            ds.Manufacturer = "Philips Medical Systems"
            blk = ds.private_block(0x7053, "Philips PET Private Group", create=True); blk.add_new(0x00, "DS", "0.0025")
        r = Dataset(); r.RadionuclideTotalDose = 3.5e8; r.RadionuclideHalfLife = 6586.2; r.RadiopharmaceuticalStartTime = "091500"
        ds.RadiopharmaceuticalInformationSequence = Sequence([r])
        write(ds, DATA / f"p{p}" / f"im{n}.dcm"); made.append(ds)
    rtstruct(DATA / f"p{p}" / "rs.dcm", made, [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])], series=60 + p)
