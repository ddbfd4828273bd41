"""GDB looks at slab caches: in a running program, in a core file, in a kernel over QEMU's stub.

    (gdb) source tools/gdb/slab_allocator_gdb.py

    slab-caches [EXPRESSION...]     the table of slabinfo: of every cache that is a static variable or
                                    a local one of the selected thread, or of the caches named
    slab-info ADDRESS [in CACHE]    whose slab an address lies in, in which slot, and what that is
    slab-map CACHE                  a character a slab: # full, 9 to 0 its tenths, . free

    print CACHE, print SLAB_INFO    in words; print /r shows the members

Nothing is called in the program, and nothing written: what is needed is read from its memory and its
debug information (g++ or clang, -g). A cache's cached objects count as free, as in report(), and so
does what lies in the magazines of a MagazineCache, or in the fronts of a MagazineHeap. (A CPU that is stopped in the middle of a call may
have one object more or less than is shown.)

    Cache --front_.slabs_.lists_--> SlabInfo --> SlabInfo ...     the numbers of the layout stand in the
      |                                '--map: a bit a slot       name of the type of front_:
      '--front_.cached_--> cached objects                         PlainFront<Layout{0, 0, 0, 64, ...}, ...>

    MagazineCache --slabs_--> Cache
      |---slots_[n]---> loaded_ from start_ to top_, previous_      n: a CPU, or a thread
      '---depot_------> full_ --> Magazine --> Magazine ...
"""

import re

import gdb

POINTER = gdb.lookup_type("char").pointer().pointer().sizeof


# ---- What the library knows, read from outside -----------------------------------------------------


def plain(type_):
    return type_.strip_typedefs().unqualified()


def name_of(type_):
    return plain(type_).name or ""


def is_a(template, type_):
    """Is it a class of that template, and not a class of its own inside of one?"""
    name = name_of(type_)
    if not name.startswith(f"slab_allocator::{template}<"):
        return False
    depth = 0
    for index, character in enumerate(name):
        depth += (character == "<") - (character == ">")
        if character == ">" and depth == 0:
            return index == len(name) - 1
    return False


def is_cache(type_):
    return is_a("Cache", type_)


def is_class_of_heap(type_):
    return is_a("ClassSlabs", type_)


def has_member(type_, name):
    return any(field.name == name for field in plain(type_).fields())


def layout_of(cache_type):
    """The members of the Layout: their names from its type, their values from a template argument."""
    for field in plain(cache_type).fields():
        if field.name == "front_":
            match = re.search(r"Layout ?\{([^{}]*)\}", name_of(field.type))
            if match is None:
                break
            values = [re.sub(r"^\(.*\)|[uUlL]+$", "", value.strip()) for value in match[1].split(",")]
            names = [f.name for f in gdb.lookup_type("slab_allocator::Layout").fields() if hasattr(f, "bitpos")]
            return {name: int(value) for name, value in zip(names, values) if re.fullmatch(r"-?\d+", value)}
    raise gdb.GdbError(f"no layout is known of {cache_type}")


class Slab:
    """A SlabInfo and the layout of its cache."""

    def __init__(self, cache, slab_info):
        self.cache, self.layout, self.slab_info = cache, cache.layout, slab_info
        self.start = int(slab_info["slab"])
        self.free_number = int(slab_info["free_number"])
        self.untouched = int(slab_info["untouched"])

    def is_free(self, slot):
        words = self.slab_info["map"]["words_"]
        word = words[0].address + slot // 64  # they go on behind the first
        return int(word.dereference()) >> slot % 64 & 1

    def is_covered(self, slot):
        layout = self.layout
        if layout["info_slots"] == 0:
            return False
        grain = min(layout["slab_alignment"], layout["slab_size"])
        colour = self.start // grain % layout["colours"]
        first = (layout["info_offset"] + colour * layout["colour_step"]) // layout["stride"]
        return first <= slot < first + layout["info_slots"]

    def object_at(self, slot):
        return self.start + slot * self.layout["stride"] + self.layout["front"]

    def state_of(self, slot):
        if self.is_covered(slot):
            return "the SlabInfo"
        if where := self.cache.aside().get(self.object_at(slot)):
            return f"free, {where}"
        if not self.is_free(slot):
            return "taken"
        return "free" if slot < self.untouched else "free, never taken"

    def live_number(self):
        slots = range(self.layout["slots_per_slab"]) if self.cache.aside() else ()
        aside = sum(self.object_at(slot) in self.cache.aside() for slot in slots)
        return self.layout["objects_per_slab"] - self.free_number - aside


CACHED = "cached"


def pointers(bottom, size, capacity, what):
    """The addresses that stand in an array from `bottom` on."""
    if not 0 <= size <= capacity:
        raise gdb.GdbError(f"{what} is overwritten: {size} objects of {capacity}")
    return [int((bottom + rank).dereference()) for rank in range(size)]


class Magazines:
    """What lies in the magazines of a MagazineCache: free to its user, taken out of its slab."""

    def __init__(self, value):
        self.value = value

    @staticmethod
    def capacity(magazine):
        return magazine["objects_"].type.sizeof // POINTER

    def of_magazine(self, magazine):
        objects = magazine["objects_"]
        return pointers(objects[0].address, int(magazine["number"]), self.capacity(magazine), "a magazine")

    def of_slot(self, slot):
        loaded, previous = slot["loaded_"], slot["previous_"]
        found = []
        if int(loaded) != 0:
            start, top = int(slot["start_"]), int(slot["top_"])
            bottom = loaded["objects_"][0].address
            behind = (start - int(bottom)) // POINTER
            found = pointers(bottom + behind, (top - start) // POINTER, self.capacity(loaded), "a slot")
        return found + (self.of_magazine(previous) if int(previous) != 0 else [])

    def objects(self):
        """{address: where it lies}"""
        found = {}
        slots = self.value["slots_"]
        for index in range(slots.type.range()[1] + 1):
            found |= dict.fromkeys(self.of_slot(slots[index]), f"in a magazine of slot {index}")
        full = self.value["depot_"]["full_"]
        magazine = full["top_"]
        for _ in range(int(full["number_"])):
            found |= dict.fromkeys(self.of_magazine(magazine), "in a magazine at the depot")
            magazine = magazine["next"]
        return found


class Fronts:
    """What lies in the fronts of a MagazineHeap: a stack for each class. Of one that somebody empties
    at this moment, floor_ is beyond all addresses: nothing."""

    def __init__(self, value):
        self.value = value

    def objects(self):
        found = {}
        fronts = self.value["fronts_"]
        for index in range(fronts.type.range()[1] + 1):
            if int(fronts[index]) == 0:
                continue
            stacks, blocks = fronts[index]["stacks_"], fronts[index]["blocks_"]
            first, places = blocks[0].address, blocks.type.range()[1] + 1
            for number in range(stacks.type.range()[1] + 1):
                floor, top = int(stacks[number]["floor_"]), int(stacks[number]["top_"])
                if floor < top:
                    start = first + (floor - int(first)) // POINTER
                    inside = pointers(start, (top - floor) // POINTER, places, "a front")
                    found |= dict.fromkeys(inside, f"in the front of slot {index}")
        return found


class Cache:
    def __init__(self, value, name, magazines=None):
        self.value, self.name = value, name
        self.layout = layout_of(value.type)
        self.lists = value["front_"]["slabs_"]["lists_"]
        self.magazines = magazines
        self.found_aside = None

    def cached(self):
        """The addresses of the cached objects."""
        cached = self.value["front_"]["cached_"]
        if has_member(cached.type, "next_"):
            return self.quarantined(cached)
        bottom, end = cached["objects_"][1].address, cached["top_"]
        capacity = cached["objects_"].type.sizeof // POINTER - 1
        return pointers(bottom, (int(end) - int(bottom)) // POINTER, capacity, f"{self.name}: cached_")

    def quarantined(self, objects):
        """Of levels hardened and debug: those that wait."""
        bottom, capacity = objects["next_"], objects["objects_"].type.sizeof // POINTER
        return pointers(bottom, (int(objects["end_"]) - int(bottom)) // POINTER, capacity, f"{self.name}: quarantine")

    def aside(self):
        """{address: where} of the objects that are out of their slabs, and not the user's."""
        if self.found_aside is None:
            self.found_aside = dict.fromkeys(self.cached(), CACHED)
            if self.magazines is not None:
                self.found_aside |= self.magazines.objects()
        return self.found_aside

    def slabs_number(self):
        return int(self.lists["slabs_number_"])

    def slabs(self):
        """Every slab, the full ones first; an overwritten list ends with an error."""
        lists = self.lists["lists_"]
        slab_info = gdb.lookup_type("slab_allocator::SlabRecord").pointer()
        left = self.slabs_number()
        for number in range(lists.type.range()[1] + 1):
            sentinel = lists[number]["sentinel_"]
            before, node = sentinel.address, sentinel["next_"]
            while int(node) != int(sentinel.address):
                left -= 1
                if int(node) == 0 or left < 0 or int(node["previous_"]) != int(before):
                    raise gdb.GdbError(f"{self.name}: list {number} is overwritten at {before}")
                yield Slab(self, node.cast(slab_info).dereference())
                before, node = node, node["next_"]

    def numbers(self):
        """As CacheStatistics has them, when the cached objects have gone back."""
        slabs = self.slabs_number()
        objects = slabs * self.layout["objects_per_slab"]
        live = [slab.live_number() for slab in self.slabs()]
        row_large_by_map = 2
        each = self.layout["slab_size"]
        if self.layout["row"] == row_large_by_map:
            each += gdb.lookup_type("slab_allocator::SlabInfo").sizeof
        held = slabs * each
        return {
            "active_objs": sum(live),
            "num_objs": objects,
            "objsize": self.layout["object_size"],
            "objperslab": self.layout["objects_per_slab"],
            "pagesperslab": self.layout["slab_size"] // self.layout["page_size"],
            "active_slabs": sum(number > 0 for number in live),
            "num_slabs": slabs,
            "held": held,
            "lost": held - objects * self.layout["object_size"],
        }

    def slab_with(self, address):
        for slab in self.slabs():
            if slab.start <= address < slab.start + self.layout["slab_size"]:
                return slab
        return None


class ClassOfHeap(Cache):
    """A size class of a Heap: its layout is a member, and a word of one slab's slots is out of its map."""

    def __init__(self, value, name, magazines=None):
        self.value, self.lists = value, value["slabs_"]["lists_"]
        layout = value["slabs_"]["geometry"]["layout"]
        self.layout = {f.name: int(layout[f.name]) for f in layout.type.fields() if hasattr(f, "bitpos")}
        self.name = re.sub(r"\.(slabs|blocks)_?(?=\.|\[|$)|\[\d+\]", "", name) + f"-{self.layout['object_size']}"
        self.magazines = magazines
        self.found_aside = None

    def cached(self):
        word, start, stride = int(self.value["word_"]), int(self.value["word_start_"]), self.layout["stride"]
        current = [start + bit * stride for bit in range(64) if word >> bit & 1]
        waiting = self.value["waiting_"]
        return current + (self.quarantined(waiting) if has_member(waiting.type, "next_") else [])

    def slabs_number(self):
        return super().slabs_number() + (int(self.value["current_"]) != 0)  # it stands on no list

    def slabs(self):
        if int(self.value["current_"]) != 0:
            yield Slab(self, self.value["current_"].dereference())
        yield from super().slabs()


# ---- Where caches are ------------------------------------------------------------------------------

holds_caches = {}  # name of a type -> does it have a cache among its members?


def may_hold(type_, depth=0):
    type_ = plain(type_)
    if type_.code == gdb.TYPE_CODE_ARRAY:
        return may_hold(type_.target(), depth)
    if type_.code != gdb.TYPE_CODE_STRUCT or depth > 8:
        return False
    if is_cache(type_) or is_class_of_heap(type_):
        return True
    key = type_.name or str(type_)
    if key not in holds_caches:
        holds_caches[key] = False  # what holds itself by a pointer is not asked again
        holds_caches[key] = any(
            may_hold(field.type, depth + 1) for field in type_.fields() if hasattr(field, "bitpos")
        )
    return holds_caches[key]


def caches_in(value, name, magazines=None):
    """The caches of a value: itself, its members, the elements of its arrays."""
    if value.type.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.referenced_value()
    type_ = plain(value.type)
    if not may_hold(type_):
        return
    if type_.code == gdb.TYPE_CODE_ARRAY:
        for index in range(type_.range()[1] + 1):
            yield from caches_in(value[index], f"{name}[{index}]", magazines)
        return
    if is_cache(type_):
        yield Cache(value, name, magazines)
    elif is_class_of_heap(type_):
        of_heap = ClassOfHeap(value, name, magazines)
        if of_heap.slabs_number() > 0:
            yield of_heap
        return
    ours = name_of(type_).startswith("slab_allocator::")
    if is_a("MagazineCache", type_):
        magazines = Magazines(value)
    elif is_a("MagazineHeap", type_):
        magazines = Fronts(value)
    for field in type_.fields():
        if not hasattr(field, "bitpos") or not may_hold(field.type):
            continue
        same = field.is_base_class or ours and field.name in ("cache_", "slabs_", "front_")
        theirs = magazines if field.name not in ("magazines_", "backend_") else None  # of no objects
        yield from caches_in(value[field], name if same else f"{name}.{field.name}", theirs)


def split_declaration(text):
    """"static T<a, b> n::(anonymous namespace)::x[3]" -> ("T<a, b>", "n::(anonymous namespace)::x")"""
    text = re.sub(r"(\[\d*\])+$", "", text)
    depth = 0
    for index in range(len(text) - 1, -1, -1):
        depth += (text[index] in ">)") - (text[index] in "<(")
        if depth == 0 and text[index] in " *&":
            return re.sub(r"^(static|const) ", "", text[: index + 1]).strip(), text[index + 1 :]
    return "", text


def first_that_works(expressions):
    for expression in expressions:
        try:
            gdb.parse_and_eval(expression)
            return expression
        except gdb.error:
            pass
    return None


def find_static_variables():
    """(name, expression) of each that may hold a cache. Costs: a look at every static variable."""
    types = {}  # name -> the type, where it may hold a cache
    candidates = []
    file = ""
    for line in gdb.execute("info variables -q -n", to_string=True).splitlines():
        file = line[5:-1] if line.startswith("File ") else file
        match = re.fullmatch(r"\d+:\t(.*);", line)
        if match is None:
            continue
        type_name, name = split_declaration(match[1])
        if type_name not in types:
            try:
                type_ = gdb.lookup_type(type_name)
                types[type_name] = type_ if may_hold(type_) else None
            except gdb.error:
                types[type_name] = None
        if types[type_name] is not None:
            candidates.append((file, name, types[type_name]))
    names = [name for _, name, _ in candidates]
    for file, name, type_ in candidates:
        expressions = [f"'{file}'::{name}", name]  # several files may have one of the name
        if names.count(name) == 1:
            expressions.append(f"*('{type_}' *) &'{name}'")  # so a variable template is found
        expression = first_that_works(expressions)
        if expression is not None:
            yield name.replace("(anonymous namespace)::", ""), expression


static_found = None  # until the program's files are other ones


def static_variables():
    global static_found
    if static_found is None:
        static_found = list(find_static_variables())
    for name, expression in static_found:
        yield name, gdb.parse_and_eval(expression)


def forget_static_variables(event):
    global static_found
    static_found = None


def local_variables():
    try:
        frame = gdb.newest_frame()
    except gdb.error:
        return  # no process
    while frame is not None:
        try:
            block = frame.block()
        except RuntimeError:
            block = None
        while block is not None and not block.is_global and not block.is_static:
            for symbol in block:
                if (symbol.is_variable or symbol.is_argument) and symbol.addr_class != gdb.SYMBOL_LOC_OPTIMIZED_OUT:
                    try:
                        yield symbol.name, symbol.value(frame)
                    except (gdb.error, TypeError):
                        pass
            block = block.superblock
        frame = frame.older()


def all_caches():
    seen = set()
    for variables in (static_variables(), local_variables()):
        for name, value in variables:
            for cache in caches_in(value, name):
                if cache.value.address is not None and int(cache.value.address) not in seen:
                    seen.add(int(cache.value.address))
                    yield cache


def caches_of(expression):
    found = list(caches_in(gdb.parse_and_eval(expression), expression))
    found = [cache for cache in found if ".backend_" not in cache.name] or found
    if not found:
        raise gdb.GdbError(f"{expression} is no cache, and holds none (of a heap: no class that has slabs)")
    return found


# ---- Commands --------------------------------------------------------------------------------------


class SlabCaches(gdb.Command):
    """The table of slabinfo, of every cache there is: slab-caches [EXPRESSION...]"""

    def __init__(self):
        super().__init__("slab-caches", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        named = [cache for word in gdb.string_to_argv(argument) for cache in caches_of(word)]
        caches = named or list(all_caches())
        if not caches:
            raise gdb.GdbError("no cache is a static variable or a local one: slab-caches EXPRESSION")
        rows = []
        for cache in caches:
            try:
                rows.append((cache.name, list(cache.numbers().values())))
            except gdb.error as error:
                print(error)
        titles = "active_objs num_objs objsize objperslab pagesperslab active_slabs num_slabs held lost".split()
        name_width = max([4] + [len(name) for name, _ in rows])
        widths = [max([len(title)] + [len(str(row[1][index])) for row in rows]) for index, title in enumerate(titles)]
        print("name".ljust(name_width), *(title.rjust(width) for title, width in zip(titles, widths)))
        for name, numbers in rows:
            print(name.ljust(name_width), *(str(number).rjust(width) for number, width in zip(numbers, widths)))


class SlabInfoOf(gdb.Command):
    """What an address is to the caches: slab-info ADDRESS [in CACHE]"""

    def __init__(self):
        super().__init__("slab-info", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        where, _, named = argument.partition(" in ")
        if not where:
            raise gdb.GdbError("slab-info ADDRESS [in CACHE]")
        address = int(gdb.parse_and_eval(where).cast(gdb.lookup_type("unsigned long")))
        for cache in caches_of(named) if named else all_caches():
            slab = cache.slab_with(address)
            if slab is not None:
                return self.tell(cache, slab, address)
        print(f"{address:#x} lies in no slab of the caches that are known")

    @staticmethod
    def tell(cache, slab, address):
        layout = cache.layout
        slot, offset = divmod(address - slab.start, layout["stride"])
        print(f"{address:#x} lies in slab {slab.start:#x} of {cache.name}, SlabInfo {slab.slab_info.address}")
        print(f"  {slab.live_number()} of {layout['objects_per_slab']} objects of the slab are taken")
        if slot >= layout["slots_per_slab"]:
            print("  it is behind the last slot")
            return
        place = offset - layout["front"]
        if slab.is_covered(slot):
            where = "in it"
        elif place < 0:
            where = f"{-place} bytes before its object"
        elif place >= layout["object_size"]:
            where = f"{place - layout['object_size']} bytes behind its object"
        else:
            where = f"{place} bytes into its object" if place else "the start of its object"
        print(f"  slot {slot}: {slab.state_of(slot)}; {where}")


class SlabMap(gdb.Command):
    """A character a slab, # full, 9 to 0 its tenths, . free: slab-map CACHE"""

    def __init__(self):
        super().__init__("slab-map", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        for cache in caches_of(argument):
            text = "".join(sorted(map(self.character_of, cache.slabs()), key="#9876543210.".index))
            print("\n".join(text[start : start + 64] for start in range(0, len(text), 64)))

    @staticmethod
    def character_of(slab):
        live, objects = slab.live_number(), slab.layout["objects_per_slab"]
        return "#" if live == objects else "." if live == 0 else str(live * 10 // objects)


# ---- Values in words -------------------------------------------------------------------------------


class CachePrinter:
    """Of a Cache, and of the cache of slabs in a MagazineCache."""

    def __init__(self, value):
        self.cache = next(caches_in(value, "it"))
        self.type = value.type

    def to_string(self):
        numbers = self.cache.numbers()
        layout = self.cache.layout
        kind = "Small" if layout["row"] < 2 else "Large"
        aside = list(self.cache.aside().values())
        cached = aside.count(CACHED)
        where = "cached" if self.cache.magazines is None else "in magazines"
        return (
            f"cache of {self.type.strip_typedefs().template_argument(0)}, {layout['object_size']} bytes, "
            f"{layout['objects_per_slab']} to a {kind} slab of {layout['slab_size']}: "
            f"{numbers['active_objs']} live and "
            f"{cached if self.cache.magazines is None else len(aside) - cached} {where} "
            f"in {numbers['num_slabs']} slabs"
        )

    def children(self):
        for slab in self.cache.slabs():
            yield f"{slab.start:#x}", f"{slab.live_number()} of {slab.layout['objects_per_slab']} live"


class SlabInfoPrinter:
    def __init__(self, value):
        self.value = value

    def to_string(self):
        if int(self.value["owner"]) == 0:
            return "SlabInfo of no slab"
        return (
            f"SlabInfo of slab {int(self.value['slab']):#x}: {int(self.value['free_number'])} slots free, "
            f"{int(self.value['untouched'])} ever taken, on list {int(self.value['list'])}"
        )


class ListPrinter:
    def __init__(self, value):
        self.value = value

    def nodes(self):
        sentinel = self.value["sentinel_"]
        before, node = sentinel.address, sentinel["next_"]
        while int(node) != int(sentinel.address):
            if int(node) == 0 or int(node["previous_"]) != int(before):
                raise gdb.GdbError(f"the list is overwritten at {before}")
            yield node
            before, node = node, node["next_"]

    def to_string(self):
        return f"list of {sum(1 for _ in self.nodes())}"

    def children(self):
        element = self.value.type.strip_typedefs().template_argument(0)
        for index, node in enumerate(self.nodes()):
            yield f"[{index}]", node.cast(element.pointer()).dereference()


def printer_of(value):
    name = name_of(value.type)
    if is_cache(value.type) or is_a("MagazineCache", value.type):
        return CachePrinter(value)
    if name in ("slab_allocator::SlabInfo", "slab_allocator::SlabRecord"):
        return SlabInfoPrinter(value)
    if name.startswith("slab_allocator::IntrusiveList<"):
        return ListPrinter(value)
    return None


SlabCaches()
SlabInfoOf()
SlabMap()
gdb.pretty_printers.append(printer_of)
gdb.events.new_objfile.connect(forget_static_variables)
gdb.events.clear_objfiles.connect(forget_static_variables)
