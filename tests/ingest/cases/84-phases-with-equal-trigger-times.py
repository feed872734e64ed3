from kit import *

# Cine MR, slice after slice; of one slice two phases have the same trigger time (rounded). The
# order of the series tells them apart.
fresh()
made, phases = [], [[], [], []]
for slice_number in range(4):
    for phase in range(3):
        pixels = (texture(slice_number) + 1300 + 100 * phase).astype(np.uint16)
        ds = slice_(len(made), 8.0 * slice_number, pixels, cls=MR, modality="MR", slope=None, thickness=8.0)
        ds.TriggerTime = str([0, 40, 40 if slice_number == 2 else 80][phase])
        write(ds, DATA / f"im{len(made):03d}.dcm")
        made.append(ds), phases[phase].append(pixels)
rtstruct(DATA / "rs.dcm", made[::3], [(1, "lv", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, z)) for z in (8.0, 16.0)])])
A = lps_affine((-16, -12, 0), (2, 2), step=[0, 0, 8])
expect(first=dict(image=phases[0], affine=A, labels={"lv": box((4, 12, 16), 4, 9, 3, 7, [1, 2])}), second=dict(image=phases[1], affine=A), third=dict(image=phases[2], affine=A))
