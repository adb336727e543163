"""What options PEFT's methods have, by its types; a test holds it to PEFT. Made by model.peft_options."""

OPTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "LORA": {
        "init_lora_weights": ("bool", "'gaussian'", "'orthogonal'"),
        "lora_bias": ("bool",),
    },
    "VERA": {
        "projection_prng_key": ("int",),
        "d_initial": ("float",),
        "init_weights": ("bool",),
    },
    "VBLORA": {
        "num_vectors": ("int",),
        "vector_length": ("int",),
        "topk": ("int",),
        "init_vector_bank_bound": ("float",),
        "init_logits_std": ("float",),
    },
    "RANDLORA": {
        "projection_prng_key": ("int",),
        "sparse": ("bool",),
        "very_sparse": ("bool",),
        "init_weights": ("bool",),
    },
    "TINYLORA": {
        "u": ("int",),
        "weight_tying": ("float",),
        "projection_seed": ("int",),
        "init_v_bound": ("float",),
        "init_weights": ("bool", "str"),
    },
    "LOHA": {
        "alpha": ("int",),
        "init_weights": ("bool",),
    },
    "LOKR": {
        "alpha": ("int",),
        "decompose_both": ("bool",),
        "decompose_factor": ("int",),
        "init_weights": ("bool", "'lycoris'"),
    },
    "HIRA": {
        "init_weights": ("bool", "'gaussian'", "null"),
    },
    "DELORA": {
        "delora_lambda": ("int",),
        "init_weights": ("bool",),
    },
    "GRALORA": {
        "hybrid_r": ("int",),
        "alpha": ("int",),
        "gralora_k": ("int",),
        "init_weights": ("bool",),
    },
    "GLORA": {
        "config_A_B": ("'lora'", "'vector'", "'constant'", "'none'"),
        "config_C": ("'lora'", "'vector'", "'none'"),
        "config_D_E": ("'vector'", "'constant'", "'none'"),
        "init_weights": ("bool",),
    },
    "MISS": {
        "mini_r": ("int",),
        "init_weights": ("bool", "'bat'", "'mini'"),
    },
    "PEANUT": {
        "depth": ("int",),
        "act_fn": ("str",),
        "scaling": ("float",),
        "init_weights": ("bool",),
    },
    "DEFT": {
        "decomposition_method": ("'relu'", "'qr'"),
        "init_scale": ("float",),
        "alpha": ("int", "null"),
        "para": ("bool",),
        "init_weights": ("bool",),
    },
    "HRA": {
        "apply_GS": ("bool",),
        "init_weights": ("bool",),
    },
    "OFT": {
        "oft_block_size": ("int",),
        "init_weights": ("bool",),
        "coft": ("bool",),
        "eps": ("float",),
        "block_share": ("bool",),
        "use_cayley_neumann": ("bool",),
        "num_cayley_neumann_terms": ("int",),
    },
    "BOFT": {
        "boft_block_size": ("int",),
        "boft_block_num": ("int",),
        "boft_n_butterfly_factor": ("int",),
        "init_weights": ("bool",),
    },
    "PSOFT": {
        "ab_svd_init": ("'psoft_init'", "'pissa_init'"),
        "psoft_svd": ("'full'", "'lowrank'"),
        "psoft_svd_lowrank_niter": ("int",),
        "random_seed": ("int",),
        "psoft_orth": ("bool",),
        "psoft_mag_b": ("bool",),
        "psoft_mag_a": ("bool",),
        "use_cayley_neumann": ("bool",),
        "num_cayley_neumann_terms": ("int",),
        "cayley_neumann_eps": ("float", "null"),
        "init_weights": ("bool",),
    },
    "ROAD": {
        "variant": ("str", "'road_1'", "'road_2'", "'road_4'"),
        "group_size": ("int",),
        "init_weights": ("bool",),
    },
    "IA3": {
        "init_ia3_weights": ("bool",),
    },
    "BEFT": {
        "init_weights": ("bool",),
    },
    "C3A": {
        "block_size": ("int",),
        "init_weights": ("bool", "'gaussian'", "'kaiming_uniform'", "'xavier_uniform'", "null"),
    },
    "FOURIERFT": {
        "n_frequency": ("int",),
        "scaling": ("float",),
        "random_loc_seed": ("int", "null"),
        "init_weights": ("bool",),
    },
    "WAVEFT": {
        "n_frequency": ("int",),
        "scaling": ("float",),
        "wavelet_family": ("str",),
        "use_idwt": ("bool",),
        "random_loc_seed": ("int",),
        "proportional_parameters": ("bool",),
        "init_weights": ("bool",),
    },
    "SHIRA": {
        "mask_type": ("'random'",),
        "random_seed": ("int", "null"),
        "init_weights": ("bool",),
    },
    "SUPERTUNING": {
        "sparsity": ("float",),
        "select_top": ("bool",),
        "init_weights": ("bool",),
    },
}
"""The kinds of value of each; a text in quotes is one that may stand there."""
