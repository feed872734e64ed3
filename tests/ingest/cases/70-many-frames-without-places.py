from kit import *

# A CT Image Storage object of several frames with one position for all: nothing says where its
# frames lie.
fresh()
frames = np.array([(texture(n) + 1224).astype(np.uint16) for n in range(6)])
ds = slice_(0, 0.0, frames[0])
ds.NumberOfFrames = 6
ds.PixelData = frames.tobytes()
write(ds, DATA / "im.dcm")
rtstruct(DATA / "rs.dcm", [ds], [(1, "liver", [("CLOSED_PLANAR", px_square(4, 9, 3, 7, 3.0 * k)) for k in (1, 2, 3)])])
