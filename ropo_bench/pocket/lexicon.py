"""The words of the pocket world and the facts that go with them, as plain tables.

One entity a line; the columns are named in COLUMNS. Every name and value is one lower-case word.
"""

from __future__ import annotations

COLUMNS: dict[str, tuple[str, ...]] = {
    "animal": ("group", "eats", "home", "colour", "size", "can"),
    "food": ("course", "colour", "taste", "source"),
    "tool": ("use", "kept", "material"),
    "place": ("feel", "has", "activity"),
    "plant": ("form", "colour", "grows", "season"),
    "job": ("workplace", "needs", "duty"),
    "person": ("works", "home", "likes", "pet", "trait"),
}

ANIMALS = """
cat mammal mice house grey small climb
dog mammal meat house brown large bark
horse mammal grass field brown huge gallop
cow mammal grass field white huge moo
pig mammal corn barn pink large dig
sheep mammal grass valley white large jump
goat mammal leaves valley grey large climb
hen bird seeds barn brown small run
duck bird plants lake green small swim
goose bird grass lake white large swim
owl bird mice forest brown small hunt
eagle bird fish valley brown large fly
crow bird corn field black small fly
robin bird worms garden red tiny sing
parrot bird fruit jungle green small talk
penguin bird fish sea black large swim
swan bird plants river white large swim
stork bird frogs swamp white large fly
pigeon bird bread city grey small fly
sparrow bird seeds park brown tiny sing
fox mammal mice forest red small run
wolf mammal meat forest grey large hunt
bear mammal honey forest brown huge climb
deer mammal leaves forest brown large jump
rabbit mammal plants field grey small jump
squirrel mammal nuts park red small climb
mouse mammal seeds house grey tiny hide
mole mammal worms garden black tiny dig
bat mammal insects cave black tiny fly
lion mammal meat desert yellow huge roar
camel mammal plants desert brown huge walk
elephant mammal leaves jungle grey huge walk
monkey mammal fruit jungle brown small climb
tiger mammal meat jungle orange huge hunt
whale mammal shrimp sea blue huge dive
dolphin mammal fish sea grey large jump
seal mammal fish sea black large dive
otter mammal fish river brown small swim
beaver mammal bark river brown small build
shark fish meat sea grey huge swim
trout fish insects river green small swim
carp fish plants lake orange small swim
eel fish shrimp swamp black large swim
frog reptile insects swamp green tiny jump
snake reptile mice desert green large crawl
lizard reptile insects desert yellow tiny hide
turtle reptile plants lake green small dive
crocodile reptile meat swamp green huge swim
ant insect seeds garden black tiny carry
bee insect nectar garden yellow tiny fly
spider insect insects cave black tiny climb
butterfly insect nectar field orange tiny fly
beetle insect leaves forest green tiny crawl
cricket insect grass field brown tiny sing
"""

FOODS = """
apple fruit red sweet tree
pear fruit green sweet tree
plum fruit purple sweet tree
peach fruit pink sweet tree
cherry fruit red sour tree
lemon fruit yellow sour tree
lime fruit green sour tree
orange fruit orange sweet tree
banana fruit yellow sweet tree
coconut fruit brown mild tree
grape fruit purple sweet vine
melon fruit green fresh vine
strawberry fruit red sweet bush
blueberry fruit blue sweet bush
carrot vegetable orange sweet soil
potato vegetable brown mild soil
onion vegetable white spicy soil
garlic vegetable white spicy soil
radish vegetable red spicy soil
pepper vegetable red spicy bush
tomato vegetable red fresh vine
cucumber vegetable green fresh vine
cabbage vegetable green mild farm
bean vegetable green mild vine
pumpkin vegetable orange mild vine
rice dish white mild farm
bread dish brown mild oven
cheese dish yellow salty cow
butter dish yellow salty cow
salmon dish pink salty sea
cake treat white sweet oven
chocolate treat brown bitter tree
honey treat yellow sweet hive
milk drink white mild cow
tea drink green bitter bush
coffee drink black bitter bush
"""

TOOLS = """
hammer build shed metal
saw cut shed metal
axe chop shed metal
shovel dig shed metal
rake gather shed wood
knife cut kitchen metal
fork eat kitchen metal
spoon stir kitchen wood
pan fry kitchen metal
pot boil kitchen metal
oven bake kitchen metal
kettle boil kitchen glass
bowl mix kitchen clay
plate serve kitchen clay
broom sweep cellar wood
bucket carry cellar plastic
rope tie cellar cotton
candle shine cellar wax
needle sew bedroom metal
lamp shine bedroom glass
pillow sleep bedroom cotton
mirror look bathroom glass
comb brush bathroom plastic
towel dry bathroom cotton
pen write office plastic
pencil draw office wood
ruler measure office plastic
phone call office plastic
brush paint studio wood
flute play studio wood
drum play studio wood
ladder climb garage wood
net catch garage cotton
wheel roll garage rubber
hose spray garage rubber
"""

PLACES = """
forest quiet trees hike
desert hot sand ride
sea deep waves sail
river cold stones fish
lake calm boats swim
jungle wet vines explore
garden sunny flowers plant
field wide grass run
cave dark rocks hide
swamp wet mud explore
valley calm hills walk
barn warm hay rest
city loud streets travel
house safe rooms sleep
park sunny benches play
market busy stalls trade
school busy desks learn
library quiet books read
hospital clean beds heal
bakery warm ovens bake
museum old statues look
harbour windy ships sail
castle old towers dance
station loud trains travel
theatre dark seats sing
"""

PLANTS = """
oak tree brown forest autumn
pine tree green forest winter
birch tree white forest spring
maple tree red valley autumn
willow tree green river spring
palm tree green desert summer
cedar tree green valley winter
rose flower red garden summer
tulip flower yellow garden spring
daisy flower white field spring
lily flower white lake summer
sunflower flower yellow field summer
violet flower purple forest spring
poppy flower red field summer
lotus flower pink lake summer
orchid flower pink jungle winter
cactus bush green desert summer
holly bush green park winter
heather bush purple valley autumn
ivy bush green castle autumn
fern herb green jungle summer
mint herb green garden summer
basil herb green garden spring
clover herb green field spring
moss herb green cave winter
reed herb brown swamp autumn
"""

JOBS = """
baker bakery oven bake
farmer field shovel harvest
teacher school pen teach
doctor hospital lamp heal
painter museum brush paint
sailor harbour rope sail
fisher river net fish
singer theatre drum sing
writer library pencil write
cook castle pan cook
gardener garden hose plant
builder city hammer build
trader market phone sell
driver station wheel drive
hunter forest axe hunt
tailor house needle sew
diver sea bucket dive
keeper park broom sweep
"""


def article(word: str) -> str:
    """ "a" or "an", as the word needs."""
    return "an" if word[0] in "aeiou" or word in SILENT else "a"


def _words(text: str) -> list[str]:
    return text.split()


WOMEN = _words("""
anna mary lucy emma sara nora ella rosa clara julia alice grace helen laura irene maria diana paula
ruby eva lena mia zoe amy
""")
MEN = _words("""
tom ben max paul jack peter david simon oscar henry felix hugo leo carl frank george oliver martin
victor walter sam adam noah ivan
""")
TOWNS = _words("city village valley harbour forest castle park desert")
PETS = _words("cat dog hen duck goose parrot rabbit mouse turtle pigeon goat horse")
TRAITS = _words("kind honest funny shy calm proud clever patient polite cheerful serious generous")
NUMBERS = _words("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
""")
THINGS = _words("hat coat bag ball book kite coin key map box letter basket ring boat cup stone")
PLURALS = _words("apples pears eggs books coins keys stones hats balls cakes nuts cups boxes letters")
MOODS = _words("""
brave hungry tired happy sad angry afraid lonely bored curious excited thirsty sleepy worried glad
""")
UPSETS = _words("sad angry afraid lonely worried")
WEATHERS = _words("sunny rainy windy snowy cloudy foggy warm cold")
DAYS = _words("monday tuesday wednesday thursday friday saturday sunday")
KINDS = ("animal", "food", "tool", "place", "plant", "job", "person")
# Words with a silent h take "an" all the same.
SILENT = ("hour", "honest")
ORDERS: dict[str, tuple[str, str]] = {
    "older": ("oldest", "youngest"),
    "taller": ("tallest", "shortest"),
    "faster": ("fastest", "slowest"),
    "stronger": ("strongest", "weakest"),
    "richer": ("richest", "poorest"),
}
SIZES = ("tiny", "small", "large", "huge")
