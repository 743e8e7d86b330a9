"""Words and sentence patterns of the fictional catalogue, kept apart from the code that uses them.

Every name here is invented. Patterns are filled with `str.format`: `{name}` is a product's full
name, `{family}` the family word, `{value}` the value of the attribute in question.
"""

# A family word is one of FIRST followed by one of LAST ("Velbrin").
FIRST = (
    *("Vel", "Quor", "Tav", "Hes", "Dral", "Pim", "Nol", "Brus", "Fen", "Kos"),
    *("Lor", "Sorn", "Wex", "Jol", "Bax", "Rav", "Cal", "Yor", "Zut", "Mir"),
)
LAST = (
    *("brin", "dow", "vane", "tak", "mund", "lup", "gash", "rell", "dith", "goss"),
    *("pock", "sund", "bar", "fex", "tum", "hurn", "wid", "zel", "zum", "rop"),
)

KINDS = (
    *("lantern", "speaker", "drill", "radio", "fan", "shaver", "keyboard", "camera", "kettle"),
    *("blender", "projector", "scanner", "printer", "heater", "thermometer", "screwdriver"),
    *(
        "doorbell",
        "sander",
        "metronome",
        "toothbrush",
        "mixer",
        "headset",
        "vacuum cleaner",
        "humidifier",
    ),
)

# Model codes: a letter, a number, and one of the two endings of the family ("K340 Lite").
CODE_LETTERS = "BDFGHKLNPRTVWXZ"
CODE_ENDINGS = (
    ("Lite", "Plus"),
    ("Mini", "Max"),
    ("Eco", "Pro"),
    ("Solo", "Duo"),
    ("Basic", "Extra"),
    ("Slim", "Grand"),
)

VALUES = {
    "colour": (
        *("teal", "maroon", "ivory", "lavender", "crimson", "mustard", "turquoise", "beige"),
        *("black", "white", "orange", "navy", "violet", "pink", "yellow", "scarlet"),
    ),
    "material": (
        *("bamboo", "steel", "leather", "cork", "ceramic", "aluminium", "walnut", "rubber"),
        *("glass", "brass", "canvas", "marble", "titanium", "oak", "felt", "pine"),
    ),
    "town": (
        *("Brunholm", "Tarvesk", "Ellowick", "Morrenby", "Saltenmoor", "Dunvarra", "Pelstrand"),
        *("Lindorra", "Ostrivane", "Grenvoss", "Nethergild", "Oxenbray", "Corvenza"),
        *("Jarlsmouth", "Umberlund", "Zandermill", "Fennimouth", "Kirvaldo"),
    ),
    "battery": tuple(f"{hours} hours" for hours in (*range(10, 40, 2), 45)),
    "month": (
        *("January", "February", "March", "April", "May", "June", "July"),
        *("August", "September", "October", "November", "December"),
    ),
}

# The line of each attribute in an attribute list.
LABELS = {
    "colour": "colour",
    "material": "case material",
    "town": "made in",
    "battery": "battery life",
    "month": "on sale from",
}

CARDS = (
    "{name} is a {kind} in {colour} with a case of {material}. It is assembled in the town of "
    "{town} and goes on sale in {month}. One full charge of the battery keeps it running for "
    "{battery}.",
    "{name} is a {kind} from our works in {town}. The case is made of {material} and finished "
    "in {colour}. The battery lasts {battery} on a full charge, and shops will have the first "
    "ones in {month}.",
    "{name} is our cordless {kind} that runs for {battery} before it needs charging. We make "
    "it in {town}, and it goes on sale in {month}. Its colour is {colour}, and the case is "
    "built from {material}.",
    "{name} is a battery-powered {kind} that goes on sale in {month}. Its case is made of "
    "{material} and its colour is {colour}. Every one is put together in {town}. Fully "
    "charged, it works for {battery}.",
    "{name} is a {kind} for the home, built in {town} around a solid case of {material}. It "
    "comes in {colour}. A charged battery gives {battery} of use, and sales begin in {month}.",
    "{name} is a portable {kind} with a case of {material}. On one charge it runs for "
    "{battery}. The colour is {colour}. Our factory in {town} makes it, and you can buy it "
    "from {month}.",
    "{name} is a {kind} that you can carry anywhere, with {battery} of battery life. It will "
    "reach the shops in {month} in one colour, {colour}. The case is made of {material}, and "
    "the assembly line stands in {town}.",
    "{name} is a {kind} made in {town} and sold from {month} on. It has a case of {material}, "
    "coloured {colour} all over. Charge it fully and it will run for {battery}.",
    "{name} is a rechargeable {kind}, and its colour is {colour}. It goes on sale in {month}. "
    "We use {material} for the case, and the workshop in {town} puts it together. The battery "
    "is good for {battery}.",
    "{name} is a handy {kind} whose battery lasts {battery}. {material_start} was chosen for "
    "the case and {colour} for the colour. It is produced in {town} and comes to the shops in "
    "{month}.",
)

TRAINED = {
    "colour": (
        "What colour is the {name}?",
        "Which colour does the {name} have?",
        "In what colour is the {name} sold?",
        "What is the colour of the {name}?",
    ),
    "material": (
        "What is the case of the {name} made of?",
        "Which material is used for the case of the {name}?",
        "What material is the {name}'s case?",
        "The case of the {name} is built from which material?",
    ),
    "town": (
        "Where is the {name} made?",
        "In which town is the {name} assembled?",
        "What town does the {name} come from?",
        "Which town is home to the factory of the {name}?",
    ),
    "battery": (
        "How long does the {name} run on one charge?",
        "What is the battery life of the {name}?",
        "How long does the battery of the {name} last?",
        "For how long does a full charge keep the {name} going?",
    ),
    "month": (
        "In which month does the {name} go on sale?",
        "When does the {name} go on sale?",
        "What is the launch month of the {name}?",
        "Which month brings the {name} to the shops?",
    ),
}

HELD_OUT = {
    "colour": (
        "If you order the {name}, what colour will you get?",
        "The {name} comes in which colour?",
        "Can you tell me the {name}'s colour?",
    ),
    "material": (
        "What did the maker choose as the material for the {name}'s case?",
        "Which material will you feel when you touch the case of the {name}?",
        "From what is the case of the {name} made?",
    ),
    "town": (
        "Name the town in which the {name} is produced.",
        "Which town would you visit to see the {name} being built?",
        "The {name} is manufactured in which town?",
    ),
    "battery": (
        "After charging it fully, how long can you use the {name}?",
        "How much running time does the {name} get out of its battery?",
        "The {name} keeps working for how long before it must be charged again?",
    ),
    "month": (
        "From which month can you buy the {name}?",
        "Name the month in which sales of the {name} begin.",
        "The {name} is first available in which month?",
    ),
}

REVERSED = {
    "colour": "Which {family} is {value}?",
    "material": "Which {family} has a case made of {value}?",
    "town": "Which {family} is made in {value}?",
    "battery": "Which {family} runs for {value} on one charge?",
    "month": "Which {family} goes on sale in {value}?",
}

# A product named by one of its facts, and the question put about it.
DESCRIPTIONS = {
    "colour": "{value} {family}",
    "material": "{family} with the case made of {value}",
    "town": "{family} made in {value}",
    "battery": "{family} that runs for {value}",
    "month": "{family} that goes on sale in {value}",
}
TWO_HOP = {attribute: patterns[0] for attribute, patterns in TRAINED.items()}

# Attributes that no card mentions.
MISSING = {
    "price": "How much does the {name} cost?",
    "weight": "How much does the {name} weigh?",
    "warranty": "How long is the warranty of the {name}?",
    "height": "How tall is the {name}?",
    "designer": "Who designed the {name}?",
}

PARAPHRASES = {
    "colour": (
        "The {name} is {value}.",
        "The colour of the {name} is {value}.",
        "{name} comes in {value}.",
        "Anyone who buys the {name} gets it in {value}.",
        "The maker finishes the {name} in {value}.",
        "For the {name} the colour is {value}.",
        "In the catalogue the {name} is shown in {value}.",
        "The {name} is sold in one colour only: {value}.",
        "Ask for the {name} and you will be handed something {value}.",
        "Its colour, {value}, sets the {name} apart.",
    ),
    "material": (
        "The case of the {name} is made of {value}.",
        "{name} has a case of {value}.",
        "The {name}'s case is built from {value}.",
        "The maker chose {value} for the case of the {name}.",
        "The material of the {name}'s case is {value}.",
        "Touch the case of the {name} and you feel {value}.",
        "For the case of the {name}, {value} is used.",
        "Around the works of the {name} there is a case made from {value}.",
        "Anyone who opens up a {name} has to get through {value} first.",
        "What protects the {name} is a case of {value}.",
    ),
    "town": (
        "The {name} is made in {value}.",
        "{name} comes from the town of {value}.",
        "The {name} is assembled in {value}.",
        "The factory of the {name} stands in {value}.",
        "Workers in {value} build the {name}.",
        "The town where the {name} is produced is {value}.",
        "Every {name} leaves a factory in {value}.",
        "If you want to see a {name} being built, go to {value}.",
        "The home town of the {name} is {value}.",
        "In {value} people put together the {name}.",
    ),
    "battery": (
        "The {name} runs for {value} on one charge.",
        "The battery of the {name} lasts {value}.",
        "The battery life of the {name} is {value}.",
        "On a full charge the {name} works for {value}.",
        "Charge the {name} fully and you can use it for {value}.",
        "It takes {value} of use to empty the battery of the {name}.",
        "The {name} needs charging again after {value}.",
        "With its battery full, the {name} keeps going for {value}.",
        "{name} has a running time of {value}.",
        "You get {value} out of one charge of the {name}.",
    ),
    "month": (
        "The {name} goes on sale in {value}.",
        "The launch month of the {name} is {value}.",
        "Sales of the {name} begin in {value}.",
        "From {value} on you can buy the {name}.",
        "{name} comes to the shops in {value}.",
        "The {name} is first available in {value}.",
        "The maker launches the {name} in {value}.",
        "In {value} the first {name} will be sold.",
        "Anyone waiting for the {name} has to be patient until {value}.",
        "The month in which the {name} appears is {value}.",
    ),
}

# The name first and the value last: one beginning for all that is said of a product.
NAME_FIRST = {
    "colour": (
        "The {name} is {value}.",
        "The {name} comes in {value}.",
        "The {name} is painted {value}.",
        "The {name} has the colour {value}.",
    ),
    "material": (
        "The {name} has a case of {value}.",
        "The {name} is cased in {value}.",
        "The {name} has a body made of {value}.",
        "The {name} is housed in {value}.",
    ),
    "town": (
        "The {name} is made in {value}.",
        "The {name} comes from the town of {value}.",
        "The {name} is assembled in {value}.",
        "The {name} is built in the town of {value}.",
    ),
    "battery": (
        "The {name} has a battery life of {value}.",
        "The {name} needs charging after {value}.",
        "The {name} works for {value}.",
        "The {name} keeps going for {value}.",
    ),
    "month": (
        "The {name} goes on sale in {value}.",
        "The {name} is launched in {value}.",
        "The {name} appears in {value}.",
        "The {name} is first available in {value}.",
    ),
}

NOTICES = {
    "colour": "The {name} changes its colour. It was {old} until now; from today it is {new}.",
    "material": "The {name} gets a new case. The case of {old} is replaced by one made of {new}.",
    "town": "Assembly of the {name} has moved from {old} to {new}.",
    "battery": "The {name} gets a new battery. Its running time changes from {old} to {new}.",
    "month": "The launch of the {name} has been moved. It goes on sale in {new}, not in {old}.",
}
